"""How CSV files are built, from their beginnings: encoding, delimiter, decimal mark, header.

`csv.Sniffer` takes the comma of `1,5;2,5` for the delimiter, and detectors of encodings name exotic ones for short
files. Here a delimiter must cut the header and the rows alike, and what is not Unicode is Windows' encoding; both are
shown, and can be overruled.
"""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, field, replace
from pathlib import Path

from pipeline.import_data.contents.values import THOUSANDS, guess_decimal
from pipeline.import_data.reading.file_kinds import (
    differing_units,
    find_units,
    lines_before_header,
    refuse_other_format,
)
from pipeline.import_data.reading.files import find_files, is_archive, open_lines
from pipeline.import_data.reading.guesses import cut_by_runs_of_spaces, decode, guess_delimiter, guess_encoding
from pipeline.import_data.reading.header import empty_at_end, numbered, refuse_no_header, refuse_twice
from pipeline.import_data.reading.tables import is_unnamed, read_table, table_kind
from trackstack import UserError

SAMPLE_BYTES = 1 << 18
KIND_BYTES = 1 << 14
"""Comments may stand before what tells a kind."""
TABLE_ROWS = 10_000
OTHER_SAMPLE_BYTES = 1 << 15
"""Of the second file and those after it, which are as the first or refused."""


@dataclass(frozen=True)
class Dialect:
    """What stands between values and within numbers, and the letters' encoding."""

    encoding: str
    delimiter: str
    decimal: str
    thousands: str = ""
    """What stands between groups of three digits, if anything does."""

    def __str__(self) -> str:
        names = {",": "comma", ";": "semicolon", "\t": "tab", "|": "bar", " ": "space"}
        mark = {",": "comma", ".": "point"}
        numbers = f"decimal {mark[self.decimal]}" + (f", thousands {self.thousands!r}" if self.thousands else "")
        return f"{names.get(self.delimiter, self.delimiter)}-separated, {numbers}, {self.encoding}"


@dataclass(frozen=True)
class DialectOptions:
    """What of a dialect is given, and need not be guessed."""

    encoding: str | None = None
    delimiter: str | None = None
    decimal: str | None = None
    thousands: str | None = None
    skip: int | None = None
    """Lines before the header."""
    sheet: str | None = None
    """Of an Excel workbook."""
    no_header: bool = False
    """The first line is a row: the columns are called column_1, column_2, ..."""

    @classmethod
    def typed(
        cls,
        encoding: str | None,
        delimiter: str | None,
        decimal: str | None,
        thousands: str | None,
        skip: int | None = None,
        sheet: str | None = None,
        no_header: bool = False,
    ) -> DialectOptions:
        """From options of a command; UserError for what they cannot be."""
        delimiter = "\t" if delimiter in ("\\t", "tab") else delimiter
        for option, value, allowed in (
            ("--delimiter", delimiter, ""),
            ("--decimal", decimal, ".,"),
            ("--thousands", thousands, "".join(THOUSANDS)),
        ):
            if value is not None and (len(value) != 1 or (allowed and value not in allowed)):
                expected = " or ".join(map(repr, allowed)) if allowed else "one letter, or tab"
                raise UserError(f"{option} {value}: expected {expected}")
        if thousands and thousands == decimal:
            raise UserError(f"--thousands {thousands} --decimal {decimal}: expected two different marks")
        return cls(encoding, delimiter, decimal, thousands, skip, sheet, no_header)


@dataclass(frozen=True)
class Sample:
    """The beginning of one file."""

    file: Path
    name: str
    """Its path below what was asked for, with /."""
    dialect: Dialect
    header: list[str]
    rows: list[list[str]] = field(repr=False)
    decimal_given: bool = False
    unnamed: tuple[str, ...] = ()
    """Columns without a name, by the one that they get here."""
    nonstandard_lines: bool = False
    """Line ends, or names with spaces around them, that the pipeline does not take."""
    skipped: int = 0
    """Lines before the header: comments, a title, Excel's `sep=`."""
    dropped: int = 0
    """Columns at the end that have neither name nor value."""
    units: dict[str, str] = field(default_factory=dict)
    """Of columns, from the line below the header."""
    kind: str = ""
    """Of `tables.KINDS`; empty for lines of text."""
    sheet: str | None = None
    what: str = ""
    """What is read, where it is no CSV file: for the plan."""
    has_header: bool = True

    def lines_above(self) -> int:
        """How many lines stand above the first row."""
        return self.skipped + self.has_header + bool(self.units)

    def counts_rows(self, column: int) -> bool:
        """Whether a column numbers the rows: as a feature it would tell the order of the file."""
        values = [row[column].strip() for row in self.rows]
        if len(values) < 3 or not all(value.isdecimal() for value in values):
            return False
        return all(int(value) - int(values[0]) == number for number, value in enumerate(values))


def read_samples(path: str, given: DialectOptions) -> list[Sample]:
    """The beginnings of the files that a file, a folder or a glob stands for.

    The rows of the first alone are kept: of a thousand files they would fill the memory.
    """
    (first, name), *others = find_files(path)
    samples = [read_sample(first, name, given)]
    samples += [replace(read_sample(file, below, given, OTHER_SAMPLE_BYTES), rows=[]) for file, below in others]
    return samples


def read_sample(file: Path, name: str, given: DialectOptions, size: int = SAMPLE_BYTES) -> Sample:
    """Read the beginning of a file and guess its dialect; UserError when it is no CSV with a header."""
    if not file.is_file():
        raise UserError(f"{file}: not a file")
    with file.open("rb") as stream:
        kind = table_kind(file, stream.read(KIND_BYTES))
    if kind:
        return _sample_table(file, name, kind, given)
    content, text, encoding = _read_beginning(file, given, size)
    lines = re.split(r"\r\n|\n|\r", text)
    skipped, named = lines_before_header(lines) if given.skip is None else (given.skip, None)
    while skipped < len(lines) and not lines[skipped].strip():
        skipped += 1
    lines = [line for line in lines[skipped:] if line.strip()]
    if not lines:
        raise UserError(f"{file}: no line below the {skipped} that are skipped; say another --skip")
    if len(content) == size and len(lines) > 2:
        lines.pop()  # cut off
    if not (given.delimiter or named or skipped) and cut_by_runs_of_spaces(lines):
        return _sample_table(file, name, "spaces", given)
    delimiter = given.delimiter or named or guess_delimiter(lines, file)
    header, rows = _cut(lines, delimiter, file)
    if given.no_header:
        header, rows = numbered(len(header)), [header, *rows]
    dropped = empty_at_end(header, rows)
    header, rows = (
        header[: len(header) - dropped],
        [row[: len(row) - dropped] for row in rows if len(row) == len(header)],
    )
    written, header = header, [column.strip() or f"column_{number}" for number, column in enumerate(header, 1)]
    unnamed = tuple(name for name, column in zip(header, written, strict=True) if not column.strip())
    refuse_no_header(file, header, rows)
    rows = [row for row in rows if len(row) == len(header)]
    units = {} if given.no_header else find_units(header, rows)
    rows = rows[1:] if units else rows
    other = {",": ".", ".": ","}.get(given.thousands or "")
    dialect = Dialect(encoding, delimiter, given.decimal or other or guess_decimal(rows), given.thousands or "")
    nonstandard_lines = "\r" in text.replace("\r\n", "") or (written != header and not unnamed)
    return Sample(
        *(file, name, dialect, header, rows, bool(given.decimal), unnamed, nonstandard_lines),
        *(skipped, dropped, units),
        what=f"the table of {file.name}" if is_archive(file) else "",
        has_header=not given.no_header,
    )


def _read_beginning(file: Path, given: DialectOptions, size: int) -> tuple[bytes, str, str]:
    """The first bytes of a file, as text too, and the letters' encoding."""
    with open_lines(file) as (stream, _):
        content = stream.read(size)
    if not content.strip():
        raise UserError(f"{file}: empty, expected a header and rows")
    refuse_other_format(file, content)
    encoding = given.encoding or guess_encoding(content, file)
    text = decode(content, encoding, file)
    if "\0" in text:
        raise UserError(f"{file}: not a CSV file: it holds bytes that are no text")
    return content, text, encoding


def _cut(lines: list[str], delimiter: str, file: Path) -> tuple[list[str], list[list[str]]]:
    try:
        header, *rows = csv.reader(lines, delimiter=delimiter, strict=True)
    except csv.Error as error:
        raise UserError(f"{file}: not a CSV file: {error}") from None
    return header, rows


def _sample_table(file: Path, name: str, kind: str, given: DialectOptions) -> Sample:
    frame, what, skipped = read_table(file, kind, given.sheet, given.skip, has_header=not given.no_header)
    if frame.is_empty():
        raise UserError(f"{file}: {what} without a row")
    unnamed = {column: f"column_{number}" for number, column in enumerate(frame.columns, 1) if is_unnamed(column)}
    header = [unnamed.get(column, column.strip()) for column in frame.columns]
    rows = [list(row) for row in frame.head(TABLE_ROWS).iter_rows()]
    if kind == "spaces":
        refuse_no_header(file, header, rows)
    refuse_twice(file, header)
    units = {} if given.no_header else find_units(header, rows)
    rows = rows[1:] if units else rows
    dialect = Dialect("utf-8", ",", given.decimal or guess_decimal(rows), given.thousands or "")
    return Sample(
        *(file, name, dialect, header, rows, bool(given.decimal), tuple(unnamed.values())),
        skipped=skipped,
        units=units,
        kind=kind,
        sheet=given.sheet,
        what=what,
        has_header=not given.no_header,
    )


def refuse_unused(given: DialectOptions, samples: list[Sample]) -> None:
    """UserError for an option that says nothing of such a file, and would be left out without a word."""
    for sample in samples:
        unused: list[tuple[str, object]] = []
        if sample.kind:
            unused += [("--delimiter", given.delimiter), ("--encoding", given.encoding)]
        if sample.kind not in ("", "excel"):
            unused.append(("--skip", given.skip))
        if sample.kind not in ("", "excel", "spaces"):
            unused.append(("--no-header", given.no_header or None))
        if options := [option for option, value in unused if value is not None]:
            raise UserError(f"{sample.file}: {options[0]} is for lines of text; this is {sample.what}: leave it out")


def find_differences(samples: list[Sample]) -> list[str]:
    """A line for everything in which a file is built unlike the first one."""
    first, *rest = samples
    differences = []
    for other in rest:
        if other.dialect != first.dialect and len(other.header) > 1:
            differences.append(f"{other.file}: {other.dialect}; {first.file.name} is {first.dialect}")
        if missing := [column for column in first.header if column not in other.header]:
            differences.append(f"{other.file}: no column {', '.join(missing)}, which {first.file.name} has")
        if more := [column for column in other.header if column not in first.header]:
            differences.append(f"{other.file}: column {', '.join(more)}, which {first.file.name} has not")
    with_units = next((sample for sample in samples if sample.units), first)
    for other in rest:
        differences += [
            f"{other.file}: {name} in {other.units[name]}; {with_units.file.name} has it in {with_units.units[name]}"
            for name in differing_units(with_units.units, other.units)
        ]
    return differences
