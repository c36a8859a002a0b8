"""The command line: `trackstack --help`."""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from trackstack import UserError, collect_rarely, describe_error
from trackstack.cli.catalog import commands as catalog
from trackstack.cli.cluster import commands as cluster
from trackstack.cli.printing import Json, print_json
from trackstack.cli.records import commands as records


class PlainErrors(TyperGroup):
    """Prints a `UserError` as its line, without a traceback, and exits with 1."""

    def invoke(self, context: Any) -> Any:
        """Run the command that was typed."""
        _run_own_code()  # before the command is looked up: an older installation may not know it
        collect_rarely()
        try:
            return super().invoke(context)
        except (UserError, OSError) as error:
            typer.echo(describe_error(error), err=True)
        sys.exit(1)


app = typer.Typer(cls=PlainErrors, no_args_is_help=True, pretty_exceptions_enable=False)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trackstack {version('trackstack')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit.")
    ] = False,
) -> None:
    """Data and experiment tracking on one DVC pipeline."""


def _run_own_code() -> None:
    """In a checkout, go on with its own code: one environment may serve several clones."""
    own = Path("src/trackstack").resolve()
    if own.is_dir() and own != Path(__file__).resolve().parents[1]:
        environment = {**os.environ, "PYTHONPATH": str(own.parent)}
        os.execve(sys.executable, [sys.executable, "-P", "-m", "trackstack.cli", *sys.argv[1:]], environment)


@app.command()
def check(as_json: Json = False) -> None:
    """Hold params.yaml, the catalog and the raw files against each other; run nothing."""
    from trackstack.check import check as check_all

    if as_json:
        print_json(list(check_all()))
        return
    for line in check_all():
        typer.echo(line)


@app.command()
def predict(
    table: Annotated[Path, typer.Argument(metavar="CSV", help="With the columns that the model was trained on.")],
    model: Annotated[
        str | None,
        typer.Option(help="A model folder, or an MLflow URI such as models:/cnn/1; by default dvc.yaml's model."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Write this .csv or .parquet file instead of printing.")] = None,
    missing: Annotated[list[str] | None, typer.Option(help="A word for a missing value; repeat it.")] = None,
) -> None:
    """Label the rows of a table, or their windows, and give the probability of each class."""
    from trackstack.stage import pin_environment

    pin_environment()  # before torch is imported
    from trackstack.predict import as_csv
    from trackstack.predict import predict as label

    found, about = label(table, model, out, tuple(missing or ()))
    if out is None:
        typer.echo(as_csv(found), nl=False)
    typer.echo(f"{out or table}: {about}", err=True)


@app.command()
def repair() -> None:
    """After a kill: end stages that lost their dvc, and restore what was cut short. Then dvc repro goes on."""
    from trackstack.repair import repair as repair_all

    for line in repair_all():
        typer.echo(line)


app.add_typer(catalog)
app.add_typer(records)
app.add_typer(cluster)
