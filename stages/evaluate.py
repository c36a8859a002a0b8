"""Evaluate the model on the test split.

env PYTHONPATH=src python -P stages/evaluate.py data/cache results/model results/live data/processed/profile.json \
  results/evaluation
"""

from pathlib import Path

import typer

from trackstack.stage import stage


def main(cache: Path, model: Path, live: Path, profile: Path, evaluation: Path) -> None:
    """Apply MODEL to the test windows in CACHE; write metrics, tables and a report to the folder EVALUATION."""
    with stage("evaluate") as params:
        from trackstack.evaluate import evaluate

        evaluate(cache, model, live, profile, evaluation, params.evaluate)


if __name__ == "__main__":
    typer.run(main)
