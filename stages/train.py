"""Train the model that params.yaml describes.

env PYTHONPATH=src python -P stages/train.py data/cache results/model results/live
"""

from pathlib import Path

import typer

from trackstack.core.guard import stage


def main(cache: Path, model: Path, live: Path) -> None:
    """Read the tensor cache in CACHE; write the folder MODEL, and DVCLive's figures to LIVE."""
    with stage() as params:
        params.fill_nulls(Path("data/catalog.yaml"), f"datasets.{params.get('dataset')}.settings")
        from pipeline.train.params import Params
        from trackstack.training.determinism import pin_environment

        pin_environment(params.section("train", Params).deterministic)
        from pipeline.train.config import TrainingConfig
        from pipeline.train.stage import train

        train(cache, model, live, TrainingConfig.choose(params))


if __name__ == "__main__":
    typer.run(main)
