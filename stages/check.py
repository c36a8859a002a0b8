"""Refuse a dataset, model, loss or metric that does not exist, before DVC stumbles over its missing files.

env PYTHONPATH=src python -P stages/check.py
"""

import typer

from trackstack.core.guard import stage


def main() -> None:
    """Check what params.yaml chooses; `trackstack check` looks at everything."""
    with stage() as params:
        from pipeline.check.stage import check_choices

        check_choices(params)


if __name__ == "__main__":
    typer.run(main)
