"""What `trackstack data diff` prints for people."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import typer

from pipeline.contract.catalog import Contract
from pipeline.data_diff.drift import MUCH_DRIFT, SOME_DRIFT
from trackstack.cli.printing import number, print_table

MOST_NAMES, MOST_ROWS = 5, 30
"""Names in a line, and rows in a table; --json has them all."""


def show(found: dict[str, Any], contract: Contract) -> None:
    """Tables of what `compare` found; one line where nothing differs.

    Args:
        contract: of the later version.
    """
    before, after = found["versions"]
    if found["same"]:
        typer.echo(f"{found['dataset'][1]}: nothing differs between {before} and {after}")
        return
    typer.echo(f"{_change(found['dataset'], str)}: {before} -> {after}")
    for line in found["contract"]:
        typer.echo(f"contract  {line}")
    files = found["files"]
    named = [f"{len(files[what])} {what}{_names(files[what])}" for what in ("added", "removed", "changed")]
    typer.echo(f"files     {'; '.join(named)}; {files['same']} the same")
    groups = found["groups"]
    if any(groups["number"]):
        named = [f"{len(groups[what])} {what}{_names(groups[what])}" for what in ("added", "removed")]
        typer.echo(f"groups    {_change(groups['number'], str)}: {'; '.join(named)}")
    typer.echo()
    _show_rows(found)
    typer.echo()
    _show_columns(found, {feature.name for feature in contract.features if feature.kind == "time"})


def _show_rows(found: dict[str, Any]) -> None:
    kinds = found["rows"].items()
    rows = [[f"rows {kind}", f"{pair[0]:,}", f"{pair[1]:,}", _difference(pair)] for kind, pair in kinds]
    classes = found["classes"]
    sums = [sum(pair[side] for pair in classes.values()) or 1 for side in (0, 1)]
    for name, pair in list(classes.items())[:MOST_ROWS]:
        shares = [f"{count:,} ({100 * count / total:.1f} %)" for count, total in zip(pair, sums, strict=True)]
        rows.append([f"class {name}", *shares, _difference(pair)])
    print_table(["", "before", "after", "change"], rows)
    _say_what_is_left_out(len(classes), "classes")
    if found["classes_psi"] is not None:
        typer.echo(f"PSI of the classes: {found['classes_psi']:.3f}")


def _show_columns(found: dict[str, Any], times: set[str]) -> None:
    """The columns, those that drift most first."""
    columns = sorted(found["columns"], key=lambda column: -(column["psi"] or 0))
    rows = []
    for column in columns[:MOST_ROWS]:
        is_time = column["name"] in times
        counts = [_change(column[field], lambda count: f"{count:,}") for field in ("count", "nulls")]
        mean = _change(column["mean"], _date if is_time else number) if "mean" in column else ""
        std = _change(column["std"], _days if is_time else number) if "std" in column else ""
        figures = ["" if column[field] is None else f"{column[field]:.3f}" for field in ("psi", "ks")]
        rows.append([column["name"], *counts, mean, std, *figures, column["drift"]])
    print_table(["column", "count", "missing", "mean", "std", "PSI", "KS", ""], rows)
    _say_what_is_left_out(len(columns), "columns")
    if rows:
        accepted = found["rows"]["accepted"]
        shown = [
            f"all {rows:,}" if sampled == rows else f"{sampled:,} of {rows:,}"
            for sampled, rows in zip(found["sampled_rows"], accepted, strict=True)
        ]
        typer.echo(f"PSI and KS of numbers: from {shown[0]} and {shown[1]} rows.")
        typer.echo(f"PSI from {SOME_DRIFT}: some drift, from {MUCH_DRIFT}: much drift; a rule of thumb.")


def _say_what_is_left_out(number_of: int, what: str) -> None:
    if number_of > MOST_ROWS:
        typer.echo(f"and {number_of - MOST_ROWS} more {what}, which --json shows")


def _difference(pair: list[int]) -> str:
    return f"{pair[1] - pair[0]:+,}" if pair[0] != pair[1] else ""


def _change(pair: list[Any], show: Callable[[Any], str]) -> str:
    """A value, or two where they are shown differently."""
    before, after = ("none" if value is None else show(value) for value in pair)
    return after if before == after else f"{before} -> {after}"


def _names(names: list[str]) -> str:
    more = f" and {len(names) - MOST_NAMES} more" if len(names) > MOST_NAMES else ""
    return f" ({', '.join(names[:MOST_NAMES])}{more})" if names else ""


def _date(seconds: float) -> str:
    try:
        return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M")
    except (ValueError, OverflowError, OSError):
        return number(seconds)


def _days(seconds: float) -> str:
    return f"{seconds / 86_400:.4g} days"
