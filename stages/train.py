"""Train the model that params.yaml describes.

env PYTHONPATH=src python -P stages/train.py data/cache results/model results/live
"""

from pathlib import Path

import typer

from trackstack.stage import stage


def main(cache: Path, model: Path, live: Path) -> None:
    """Read the tensor cache in CACHE; write the folder MODEL, and DVCLive's figures to LIVE."""
    with stage("train", "models", "losses", "metrics") as params:
        from trackstack.train import train

        train(cache, model, live, params.train, params.models, params.losses, params.metrics)


if __name__ == "__main__":
    typer.run(main)
