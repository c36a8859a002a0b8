"""How far trials are, be they of a sweep or of a search."""

from __future__ import annotations

import time
from typing import Annotated, Any

import typer

from trackstack.cli.printing import Json, print_json, print_list, seconds

NEWEST = 20
"""Trials that are shown again and again."""


def status(
    name: Annotated[str | None, typer.Argument(help="The sweep or the search; the newest by default.")] = None,
    watch: Annotated[
        bool, typer.Option("--watch", help="Show it anew every two seconds, while something runs or is queued.")
    ] = False,
    as_json: Json = False,
) -> None:
    """How far each trial of a sweep or a search is."""
    from trackstack.cluster.search.looks import overview
    from trackstack.cluster.sweep import find_sweep

    while True:
        sweep = find_sweep(name)
        shown, summary = overview(sweep)
        if as_json:
            print_json(shown)
        else:
            print_trials([shown["shared"], *shown["trials"][-NEWEST if watch else 0 :]])  # no pager in between
            typer.echo(summary)
        if not watch or not sweep.is_at_work():
            return
        time.sleep(2)


def print_trials(rows: list[dict[str, Any]]) -> None:
    """A table of trials; of those of a search also with steps and metrics."""
    from trackstack.cluster.search.looks import describe_number, describe_values

    metrics = rows[-1].get("metrics") if rows else None
    columns = ["steps", *metrics] if metrics else []

    def cells(row: dict[str, Any]) -> list[Any]:
        known = {"steps": row.get("steps")} | row.get("metrics", {})
        figures = ["" if known.get(name) is None else describe_number(known[name]) for name in columns]
        parameters = describe_values(row["values"]) if "values" in row else " ".join(row["parameters"])
        last = [row["attempts"], row["job"], seconds(row["seconds"]), row["reason"]]
        return [row["trial"], parameters, row["state"], *figures, *last]

    header = ["trial", "parameters", "state", *columns, "attempts", "job", "s", "reason"]
    print_list(header, list(map(cells, rows)), "parameters")
