"""The arguments and options of `trackstack catalog`, some of which `trackstack predict` has as well."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Source = Annotated[str, typer.Argument(metavar="PATH", help="A file, a folder, or a pattern in quotes.")]
Name = Annotated[str, typer.Argument(metavar="NAME", help="A dataset version.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and write nothing.")]
Move = Annotated[bool, typer.Option("--move", help="Remove the originals at the end; on one disk nothing is copied.")]
Extra = Annotated[list[str] | None, typer.Option(help="A column to keep and not to train on; repeat it.")]
Feature = Annotated[
    list[str] | None, typer.Option(help="A column to train on though it numbers the rows or has no name; repeat it.")
]
Missing = Annotated[list[str] | None, typer.Option(help="A word for a missing value; repeat it.")]
NotMissing = Annotated[
    list[str] | None, typer.Option(help="A word such as none that is a class or group here; repeat it.")
]
Spellings = Annotated[
    str | None,
    typer.Option(help="join or keep apart: names that differ only in case, spaces, Unicode form, number format."),
]
Delimiter = Annotated[str | None, typer.Option(help="What stands between values, instead of a guess.")]
Decimal = Annotated[str | None, typer.Option(help="The decimal mark: . or ,")]
Thousands = Annotated[str | None, typer.Option(help="What stands between thousands: , or . or ' or a space.")]
Encoding = Annotated[str | None, typer.Option(help="For instance utf-8 or cp1252.")]
Labels = Annotated[
    Path | None, typer.Option(help="A table whose first column names the files: their labels, groups or series.")
]
Category = Annotated[
    list[str] | None,
    typer.Option(help="A column that is a category, though it has numbers or many values; repeat it."),
]
DateFeatures = Annotated[
    list[str] | None,
    typer.Option(help="A column of dates to train on: hour, weekday, month, days since 1970; repeat it."),
]
DateFormat = Annotated[
    list[str] | None, typer.Option(help="How dates are written, for instance %d/%m/%Y; repeat it.")
]
NumBlocks = Annotated[
    int | None,
    typer.Option("--blocks", min=2, help="Cut each recording into so many, which are split like recordings."),
]
Gap = Annotated[
    int | None,
    typer.Option(min=0, help="Rows left out between two blocks; by default a tenth of a block, at most 200."),
]
GroupFrom = Annotated[
    str | None, typer.Option(metavar="REGEX", help="Finds the group in a file's name: its first bracket.")
]
Skip = Annotated[int | None, typer.Option(min=0, help="How many lines come before the header, instead of a guess.")]
Sheet = Annotated[str | None, typer.Option(help="The sheet of an Excel workbook that has several.")]
NoHeader = Annotated[
    bool, typer.Option("--no-header", help="The first line is a row: columns are called column_1, column_2, ...")
]
