"""Convert the raw CSV files to typed Parquet, a part for each file.

env PYTHONPATH=src python -P stages/parquet.py data/raw/sensor_v2 data/ingested/manifest.json data/processed
"""

from pathlib import Path

import typer

from trackstack.core.guard import stage


def main(raw: Path, manifest: Path, processed: Path) -> None:
    """Read the files that MANIFEST lists from RAW and write the folder PROCESSED."""
    with stage() as params:
        params.fill_nulls(Path("data/catalog.yaml"), f"datasets.{params.get('dataset')}.settings")
        from pipeline.ingest.manifest import read_manifest
        from pipeline.parquet.params import Params
        from pipeline.parquet.stage import convert

        convert(read_manifest(manifest), raw, processed, params.section("parquet", Params))


if __name__ == "__main__":
    typer.run(main)
