"""Hold the raw CSV files against their catalog entry and write the manifest.

env PYTHONPATH=src python -P stages/ingest.py data/raw/sensor_v2 data/ingested/manifest.json
"""

from pathlib import Path

import typer

from trackstack.stage import stage


def main(raw: Path, manifest: Path) -> None:
    """Check the folder RAW and write MANIFEST."""
    with stage("dataset") as params:
        from trackstack.catalog import load_dataset, refuse_changed_entry
        from trackstack.ingest import ingest

        dataset = load_dataset(params.dataset)
        ingest(params.dataset, dataset, raw, manifest)
        refuse_changed_entry(params.dataset, dataset)


if __name__ == "__main__":
    typer.run(main)
