"""Validate the raw CSV files against their catalog entry and write the manifest.

env PYTHONPATH=src python -P stages/ingest.py data/raw/sensor_v2 data/ingested/manifest.json
"""

from pathlib import Path

import typer

from trackstack.core.guard import stage


def main(raw: Path, manifest: Path) -> None:
    """Check the folder RAW and write MANIFEST."""
    with stage() as params:
        from pipeline.ingest.stage import ingest

        ingest(params, raw, manifest)


if __name__ == "__main__":
    typer.run(main)
