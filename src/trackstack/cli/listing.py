"""Lists of runs, and what people say of them: `trackstack runs list`, `tag`, `note` and `export-table`."""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack import UserError
from trackstack.cli.choose import WhereText
from trackstack.cli.printing import Json, RunKey, number, print_json, print_list, seconds, state, warn, when

if TYPE_CHECKING:
    from trackstack.records.index.rows import IndexedRun

commands = typer.Typer()
MOST_METRICS = 4
"""Columns, unless others are asked for."""


@commands.command("list")
def list_(
    where: WhereText = None,
    sort: Annotated[
        str | None, typer.Option(metavar="NAME", help="By a metric, parameter or column; -NAME for downwards.")
    ] = None,
    last: Annotated[int | None, typer.Option(min=1, help="Only so many, the newest.")] = None,
    columns: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="Metrics, parameters and others; of a metric best. before it gives the best value, not the last.",
        ),
    ] = None,
    user: Annotated[str | None, typer.Option(help="Only the runs of this person.")] = None,
    sweep: Annotated[str | None, typer.Option(help="Only the trials of this sweep.")] = None,
    tag: Annotated[str | None, typer.Option(help="Only runs with this tag.")] = None,
    as_json: Json = False,
) -> None:
    """All runs, oldest first, with their last figures; on a terminal a page at a time."""
    from trackstack.records.choosing.listing import choose_runs, refuse_unknown_names
    from trackstack.records.index.index import read_index
    from trackstack.tracking.environment import home

    gc.disable()  # for all that is read here stays until the end
    index = read_index(home())
    warn(index.damage())
    chosen = choose_runs(index, where, user, sweep, tag, last, sort)
    if as_json:
        print_json([run.as_row() for run in chosen.runs])
        return
    if columns is None:
        usual = ["name", "status", "started", "seconds", *chosen.metrics[:MOST_METRICS]]
        usual[2:2] = ["tagged"] if any(run.facts["tagged"] for run in chosen.runs) else []
        names = ["run", *usual]
    else:
        names = ["run", *(name for name in map(str.strip, columns.split(",")) if name and name != "run")]
        refuse_unknown_names("--columns", names, list(index))
    optional = max(0, min(len(chosen.metrics), MOST_METRICS) - 1) if columns is None else 0
    print_list(names, _rows(chosen.runs, names), "name", optional)


@commands.command()
def tag(
    runs: Annotated[list[str], typer.Argument(metavar="RUN TAG...", help="A run, and what to call it by.")],
    remove: Annotated[bool, typer.Option("--remove", help="Take the tags away.")] = False,
) -> None:
    """Give a run tags, by which runs list finds it; they are shared with it."""
    from trackstack.records.labels import labels_of, tag_runs

    key, *tags = runs
    if not tags:
        raise UserError(f"{key}: no tag; type: trackstack runs tag {key} TAG...")
    run = _find(key)
    tag_runs([(run.folder, run.number)], tags, remove)
    typer.echo(f"{run.key}: {' '.join(labels_of(run.folder, run.number).tags) or 'no tags'}")


@commands.command()
def note(run: RunKey, text: Annotated[str, typer.Argument(help="In quotes.")]) -> None:
    """Write a note about a run, which runs show tells with your name and the date; it is shared with the run."""
    from trackstack.records.labels import add_note

    found = _find(run)
    add_note(found.folder, found.number, text)
    typer.echo(f"{found.key}: noted")


@commands.command("export-table")
def export_table(
    file: Annotated[Path, typer.Argument(help="Such as runs.parquet.")],
    where: WhereText = None,
) -> None:
    """Write all runs as one Parquet file: a row each, with parameters, figures and curves."""
    from trackstack.records import frames

    count = frames.export_table(file, where)
    typer.echo(f"{file}: {count:,} runs")


def _find(key: str) -> IndexedRun:
    from trackstack.records.index.index import read_index
    from trackstack.records.query import find_indexed
    from trackstack.tracking.environment import home

    return find_indexed(read_index(home()), key)


def _rows(runs: list[IndexedRun], names: list[str]) -> list[list[Any]]:
    from trackstack.records.choosing.listing import values_of

    def cell(run: IndexedRun, name: str) -> Any:
        if name in run.figures:
            return number(run.figures[name])
        if name in FACT_CELLS:
            return FACT_CELLS[name](run.facts)
        value = values_of(run).get(name)
        return number(value) if isinstance(value, float) else value

    return [[cell(run, name) for name in names] for run in runs]


FACT_CELLS: dict[str, Callable[[Mapping[str, Any]], Any]] = {
    "run": lambda facts: facts["run"],
    "name": lambda facts: facts["name"],
    "status": state,
    "started": lambda facts: when(facts["started"]),
    "seconds": lambda facts: seconds(facts["seconds"]),
    "tagged": lambda facts: " ".join(facts["tagged"]),
    "notes": lambda facts: "; ".join(note["text"] for note in facts["notes"]),
}
"""How a list shows what is known of every run."""
