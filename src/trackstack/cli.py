"""The command line: `trackstack --help`."""

from __future__ import annotations

import sys
from importlib.metadata import version
from typing import Annotated

import typer

from trackstack import UserError

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__.splitlines()[0])


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"trackstack {version('trackstack')}")
        raise typer.Exit


@app.callback()
def _options(
    _version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Data and experiment tracking on one DVC pipeline."""


@app.command()
def check() -> None:
    """Hold params.yaml, the catalog and the raw files against each other; run nothing."""
    from trackstack.check import check as check_all

    try:
        for line in check_all():
            typer.echo(line)
    except UserError as error:
        typer.echo(error, err=True)
        sys.exit(1)


if __name__ == "__main__":
    app()
