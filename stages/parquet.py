"""Convert the raw CSV files to one typed Parquet file.

env PYTHONPATH=src python -P stages/parquet.py data/raw/sensor_v2 data/ingested/manifest.json data/processed
"""

from pathlib import Path

import typer

from trackstack.stage import stage


def main(raw: Path, manifest: Path, processed: Path) -> None:
    """Read the files that MANIFEST lists from RAW and write the folder PROCESSED."""
    with stage("parquet") as params:
        from trackstack.ingest import read_manifest
        from trackstack.parquet import convert

        convert(read_manifest(manifest), raw, processed, params.parquet)


if __name__ == "__main__":
    typer.run(main)
