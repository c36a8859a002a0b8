"""How far trials are, be they of a sweep or of a search: `trackstack sweep status` and `trackstack search status`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Annotated, Any

import typer

from trackstack.cli.printing import Json, print_json, print_list, seconds

if TYPE_CHECKING:
    from trackstack.cluster.search.overview import Overview

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
    from trackstack.cluster.search.overview import read_overview

    while True:
        found = read_overview(name)
        if as_json:
            print_json({found.kind: found.sweep.name, "shared": found.shared, "trials": found.trials})
        else:
            _print_all(found, found.trials[-NEWEST:] if watch else found.trials)  # no pager in between
        if not watch or not found.is_at_work():
            return
        time.sleep(2)


def _print_all(found: Overview, trials: list[dict[str, Any]]) -> None:
    print_trials([found.shared, *trials], found.metrics)
    typer.echo(found.summary)


def print_trials(trials: list[dict[str, Any]], metrics: list[str]) -> None:
    """A table of trials, with the metrics that a search compares them by."""
    from trackstack.cluster.search.looks import describe_number, describe_values

    def cells(row: dict[str, Any]) -> list[Any]:
        known = [row.get("metrics", {}).get(name) for name in metrics]
        figures = ["" if value is None else describe_number(value) for value in known]
        return [
            row["trial"],
            describe_values(row["values"]) if "values" in row else " ".join(row["parameters"]),
            row["state"],
            *([row.get("steps"), *figures] if metrics else []),
            row["attempts"],
            row["job"],
            seconds(row["seconds"]),
            row["reason"],
        ]

    columns = ["steps", *metrics] if metrics else []
    header = ["trial", "parameters", "state", *columns, "attempts", "job", "s", "reason"]
    print_list(header, list(map(cells, trials)), "parameters")
