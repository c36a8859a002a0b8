"""One page for many runs: `trackstack runs report`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from trackstack.cli.choose import Test, WhereText

commands = typer.Typer()


@commands.command()
def report(
    out: Annotated[Path, typer.Option(metavar="FILE", help="The page's file; one that is there is replaced.")] = Path(
        "runs.html"
    ),
    sweep: Annotated[str | None, typer.Option(metavar="NAME", help="Only the runs of this sweep or search.")] = None,
    where: WhereText = None,
    test: Test = False,
) -> None:
    """One page for many runs: table, curves, parameters; a file that needs no server and no network."""
    write_report(out, sweep, where, test)


def write_report(out: Path, sweep: str | None, where: str | None = None, test: bool = False) -> None:
    """Write the page of some runs, and say how many they are; see `read_page`."""
    from trackstack.page.render import render, write_page
    from trackstack.page.runs import read_page
    from trackstack.tracking.environment import home

    page = read_page(home(), sweep, where, test)
    for note in page.notes:
        typer.echo(note, err=True)
    write_page(out, render(page))
    typer.echo(f"{out}: {len(page.runs)} run{'s' * (len(page.runs) != 1)}, {out.stat().st_size / 1e6:.1f} MB")
