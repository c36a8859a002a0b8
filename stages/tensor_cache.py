"""Build the tensor cache: normalised signal, window starts, train, validation and test splits.

env PYTHONPATH=src python -P stages/tensor_cache.py data/processed data/cache
"""

from pathlib import Path

import typer

from trackstack.stage import stage


def main(processed: Path, cache: Path) -> None:
    """Read the Parquet file in PROCESSED and write the folder CACHE."""
    with stage("tensor_cache") as params:
        from trackstack.tensor_cache import build

        build(processed, cache, params.tensor_cache)


if __name__ == "__main__":
    typer.run(main)
