"""Build the tensor cache: normalised signal, window starts, train, validation and test splits.

env PYTHONPATH=src python -P stages/tensor_cache.py data/processed data/cache
"""

from pathlib import Path

import typer

from trackstack.core.guard import stage


def main(processed: Path, cache: Path) -> None:
    """Read the Parquet file in PROCESSED and write the folder CACHE."""
    with stage() as params:
        params.fill_nulls(Path("data/catalog.yaml"), f"datasets.{params.get('dataset')}.settings")
        from pipeline.tensor_cache.params import Params
        from pipeline.tensor_cache.stage import build

        build(processed, cache, params.section("tensor_cache", Params))


if __name__ == "__main__":
    typer.run(main)
