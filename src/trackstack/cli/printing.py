"""How the commands print: tables for people, JSON for scripts."""

from __future__ import annotations

import json
import math
import shutil
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from trackstack.system.redaction import redact_uris

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]
RunKey = Annotated[str, typer.Argument(metavar="RUN", help="A run's id, the beginning of it, or its name.")]


NARROWEST = 12
"""Signs of a column that is cut."""


def state(row: Mapping[str, Any]) -> str:
    """The status of a run, with the times that it was reproduced."""
    return row["status"] + (f", reproduced {row['reproduced']}x" if row["reproduced"] else "")


def warn(texts: Iterable[str]) -> None:
    """A line on stderr for each damaged place in the records of runs."""
    for text in texts:
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
    """Print a value as JSON, in which a number that is not finite is null: JSON has none."""
    text = redact_uris(json.dumps(_without_nan(value), indent=2, ensure_ascii=False, allow_nan=False))
    typer.echo(
        text.encode("utf-8", "backslashreplace").decode()
    )  # a byte of a file name that is no text: JSON's escape


def _without_nan(value: Any) -> Any:
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _without_nan(one) for key, one in value.items()}
    return [_without_nan(one) for one in value] if isinstance(value, list | tuple) else value


def print_table(header: list[str], rows: list) -> None:
    """A table that fits the terminal; in a pipe, columns wide enough for what they hold."""
    from rich.console import Console
    from rich.table import Table

    table = Table(*header, box=None, header_style="bold", pad_edge=False)
    for row in rows:
        table.add_row(*["" if value is None else redact_uris(str(value)) for value in row])
    Console(width=None if sys.stdout.isatty() else 400, highlight=False, markup=False).print(table)


def print_list(header: Sequence[str], rows: list[list[Any]], shrinks: str, optional: int = 0) -> None:
    """A table of many rows, a line each; on a terminal a page at a time.

    Args:
        shrinks: the column that is cut where a terminal is too narrow.
        optional: how many of the last columns are left out there before.
    """
    texts = [list(header), *(["" if value is None else str(value) for value in row] for row in rows)]
    whole = "".join(map("".join, texts))
    if not whole.isprintable():
        texts = [[_plain(text) for text in row] for row in texts]
    width = len if whole.isascii() else _width
    widths = [max(map(width, column)) for column in zip(*texts, strict=True)]
    is_terminal, size = sys.stdout.isatty(), shutil.get_terminal_size()
    if is_terminal and shrinks in header:
        texts, widths = _narrowed(texts, widths, header.index(shrinks), optional, size.columns)
    padded = str.ljust if whole.isascii() else _padded
    lines = ["  ".join(map(padded, row, widths)).rstrip() for row in texts]
    text = redact_uris("\n".join(lines))
    if is_terminal and len(lines) >= size.lines:
        import pydoc

        pydoc.pager(text)
    else:
        typer.echo(text)


def _narrowed(
    texts: list[list[str]], widths: list[int], at: int, optional: int, columns: int
) -> tuple[list[list[str]], list[int]]:
    """A table without its last columns, and with one that is cut, as far as it is wider than a terminal."""

    def too_much(number: int) -> int:
        return sum(widths[:number]) + 2 * (number - 1) - columns

    number = len(widths)
    while optional and too_much(number) > widths[at] - NARROWEST:
        number, optional = number - 1, optional - 1
    narrow = min(widths[at], max(NARROWEST, widths[at] - too_much(number)))
    cut = [[*row[:at], _cut(row[at], narrow), *row[at + 1 : number]] for row in texts]
    return cut, [*widths[:at], narrow, *widths[at + 1 : number]]


def _plain(text: str) -> str:
    """Without what a terminal would act on."""
    return "".join(sign if sign.isprintable() else "\N{REPLACEMENT CHARACTER}" for sign in text)


def _width(text: str) -> int:
    """In cells of a terminal, of which some signs take two."""
    from rich.cells import cell_len

    return cell_len(text)


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _width(text))


def _cut(text: str, width: int) -> str:
    from rich.cells import set_cell_size

    return text if _width(text) <= width else set_cell_size(text, width - 1) + "~"
