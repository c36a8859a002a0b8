"""How the commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import sys
import time
from typing import Annotated, Any

import typer

from trackstack.system.redaction import redact_uris

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunKey = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its name.")]


def state(row: dict[str, Any]) -> str:
    """The status of a run, with the times that it was reproduced."""
    return row["status"] + (f", reproduced {row['reproduced']}x" if row["reproduced"] else "")


def warn_of_damage(rows: list[dict[str, Any]]) -> None:
    """A line on stderr for each damaged place in the records of runs."""
    for text in dict.fromkeys(text for row in rows for text in row["damage"]):
        typer.echo(f"warning: {text}", err=True)


def when(seconds: float | None) -> str:
    """A time since 1970, in local time; nothing where it is not known."""
    return "" if seconds is None else time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds))


def verdict_text(verdict: dict[str, Any]) -> str:
    """The verdict of a reproduction in a line: how it came out, by whom, where and when."""
    cause = f" ({verdict['cause']}: {verdict['detail']})" if verdict["cause"] else ""
    return f"{verdict['verdict']}{cause}, by {verdict['by']} on {verdict['host']}, {when(verdict['time'])}"


def number(value: float | None) -> str:
    """Four digits, or nothing."""
    return "" if value is None else f"{value:.4g}"


def seconds(value: float | None) -> str:
    """A duration to a tenth of a second, or nothing."""
    return "" if value is None else f"{value:.1f}"


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    text = redact_uris(json.dumps(value, indent=2, ensure_ascii=False))
    typer.echo(
        text.encode("utf-8", "backslashreplace").decode()
    )  # a byte of a file name that is no text: JSON's escape


def print_table(header: list[str], rows: list) -> None:
    """A table that fits the terminal; in a pipe, columns wide enough for what they hold."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*["" if value is None else redact_uris(str(value)) for value in row])
    Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False).print(table)
