"""Evaluate the model on the test split.

env PYTHONPATH=src python -P stages/evaluate.py data/cache results/model results/live data/processed/profile.json \
  results/evaluation
"""

from pathlib import Path

import typer

from trackstack.core.guard import stage


def main(cache: Path, model: Path, live: Path, profile: Path, evaluation: Path) -> None:
    """Apply MODEL to the test windows in CACHE; write metrics, tables and a report to the folder EVALUATION."""
    with stage() as params:
        from trackstack.training.determinism import pin_environment

        pin_environment()
        from pipeline.evaluate.params import Params
        from pipeline.evaluate.stage import evaluate

        evaluate(cache, model, live, profile, evaluation, params.section("evaluate", Params))


if __name__ == "__main__":
    typer.run(main)
