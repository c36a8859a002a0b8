"""Read whole files once, block by block, and count what the plan needs: rows, values, what is no number."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from pipeline.import_data.contents.dates import fitting_formats
from pipeline.import_data.contents.kinds import merge_dates
from pipeline.import_data.contents.values import (
    DELIMITERS_BESIDE_COMMAS,
    NUMBER,
    MissingWords,
    find_marks,
    is_missing,
    number_text,
)
from pipeline.import_data.reading.blocks import read_blocks
from pipeline.import_data.reading.dialect import Sample
from pipeline.import_data.reading.files import open_lines
from trackstack.core.progress import after, progress

MAX_VALUES = 100_000
"""Of a label, group or series; beyond, they are no names."""
LARGEST_FLOAT32 = 3.4028234e38
"""What is larger would be infinite to the pipeline, which sets its row aside."""
MAX_TEXTS = 1000
"""Different texts of a block that are counted: more than a category has."""


class Example(NamedTuple):
    """A value, without spaces around it, and where the first like it stands."""

    value: str
    column: str
    sample: Sample

    def place(self) -> str:
        """File and line, for a message: read again, since lines are not counted while all is well."""
        sample, column = self.sample, self.sample.header.index(self.column)
        if sample.kind:
            for block in read_blocks(sample):
                if (found := (block[self.column].str.strip_chars() == self.value).arg_true()).len():
                    return f"{sample.file}, row {found[0] + 1}"
        with open_lines(sample.file) as (stream, _):
            text = io.TextIOWrapper(stream, sample.dialect.encoding, newline="")
            rows = csv.reader(text, delimiter=sample.dialect.delimiter)
            for row in rows:
                if len(row) == len(sample.header) and row[column].strip() == self.value:
                    return f"{sample.file}, line {rows.line_num}"
        return str(sample.file)


@dataclass
class ColumnSurvey:
    """What one column of one file, or of several, holds."""

    missing: int = 0
    not_number: int = 0
    to_convert: int = 0
    """Values that must be converted: spaces around them, other words for missing, a decimal comma, true and false."""
    low: float = float("inf")
    high: float = float("-inf")
    example: Example | None = None
    """The first value that is no number."""
    marks: dict[tuple[str, str], Example] = field(default_factory=dict)
    """Of a column of numbers: the first value of each kind, see `find_marks`."""
    values: Counter = field(default_factory=Counter)
    """Of a column of names or texts: how many rows have each, missing ones left out."""
    words: Counter = field(default_factory=Counter)
    """Of such a column: how many rows have each word that stands for a missing value."""
    dates: tuple[str, ...] | None = None
    """Of a column of texts: the formats of dates that fit every value; None where there is no value."""
    amounts: ColumnSurvey | None = None
    """Of a label: the same column as one of numbers."""

    def has_numbers(self) -> bool:
        """Whether any value is a number."""
        return self.low <= self.high

    def merge(self, other: ColumnSurvey) -> None:
        """Take another block's or file's column into account."""
        for name in ("missing", "not_number", "to_convert"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.example = self.example or other.example
        self.marks = other.marks | self.marks
        if other.words:
            self.words.update(other.words)
        self.dates = merge_dates(self.dates, other.dates)
        if other.amounts:
            self.amounts = self.amounts or ColumnSurvey()
            self.amounts.merge(other.amounts)
        if other.values and len(self.values) <= MAX_VALUES:
            self.values.update(other.values)


class FileSurvey(NamedTuple):
    """One file, read to its end."""

    sample: Sample
    rows: int
    broken: int
    """Lines with another number of fields."""
    incomplete: int
    """Rows without a label, group, series or time."""
    columns: dict[str, ColumnSurvey]
    blank: int = 0
    """Lines without a letter."""


def survey_files(
    samples: list[Sample],
    names: set[str],
    missing: MissingWords,
    time: str | None = None,
    categories: Iterable[str] = (),
    date_formats: tuple[str, ...] = (),
    labels: Iterable[str] = (),
) -> list[FileSurvey]:
    """Read every file.

    Args:
        names: the columns whose values are names (label, group, series): they are counted.
        missing: the words that stand for a missing value.
        time: the column without whose value a row is incomplete as well.
        categories: columns that are counted like names, and may be missing.
        date_formats: of dates, tried before the usual ones.
        labels: those of the names that may be amounts.

    Raises:
        UserError: a file cannot be read as its sample says.
    """
    surveys: list[FileSurvey] = []
    with progress("reading", sum(sample.file.stat().st_size for sample in samples)) as show:
        done = 0
        for sample in samples:
            columns = {name: ColumnSurvey() for name in sample.header}
            broken: list[int] = []
            lines: list[int] = []
            rows = incomplete = 0
            for block in read_blocks(sample, broken, after(done, show), lines.append):
                rows += block.height
                found = _survey_block(block, sample, names.union(categories), missing, date_formats)
                incomplete += _count_incomplete(block, found, names, time, missing)
                own_labels = [name for name in labels if name in found]
                amounts = survey_numbers(block, sample, own_labels, missing.numbers)
                for name, column in found.items():
                    column.amounts = amounts.get(name)
                    columns[name].merge(column)
            is_kept = lines and sample.dialect.encoding.startswith("utf-8")  # others are rewritten anyway
            blank = lines[0] - sample.lines_above() - rows - len(broken) if is_kept else 0
            surveys.append(FileSurvey(sample, rows, len(broken), incomplete, columns, max(blank, 0)))
            done += sample.file.stat().st_size
    return surveys


def _survey_block(
    block: pl.DataFrame, sample: Sample, names: set[str], missing: MissingWords, date_formats: tuple[str, ...]
) -> dict[str, ColumnSurvey]:
    numbers = [name for name in sample.header if name not in names]
    columns = survey_numbers(block, sample, numbers, missing.numbers)
    for name, column in columns.items():
        if not column.has_numbers() or 2 * column.not_number > block.height - column.missing:
            _survey_texts(column, block[name], missing, date_formats)
    return columns | {name: _survey_names(block[name], missing.names) for name in sample.header if name in names}


def _count_incomplete(
    block: pl.DataFrame, found: dict[str, ColumnSurvey], names: set[str], time: str | None, missing: MissingWords
) -> int:
    """Rows that lack a name or the time, looked for where a column lacks any."""
    absent = [
        is_missing(name, missing.names if name in names else missing.numbers)
        for name, column in found.items()
        if (name in names or name == time) and column.missing
    ]
    return int(block.select(pl.any_horizontal(absent).sum()).item()) if absent else 0


def _survey_names(text: pl.Series, missing: tuple[str, ...]) -> ColumnSurvey:
    values: Counter = Counter()
    to_convert = 0
    for written, count in text.alias("value").value_counts().iter_rows():  # a column may be called count
        value = written.strip()
        values[value] += count
        to_convert += count * (value != written)
    words = Counter({value: values.pop(value) for value in list(values) if value.lower() in missing})
    absent, empty = words.total(), words.get("", 0)
    del words[""]
    return ColumnSurvey(absent, to_convert=to_convert + absent - empty, values=values, words=words)


def survey_numbers(
    block: pl.DataFrame, sample: Sample, names: list[str], words: tuple[str, ...]
) -> dict[str, ColumnSurvey]:
    """What columns of numbers hold.

    Most fields are a number and nothing else, which parsing shows for all columns at once; only the others are looked
    at one way after the other.
    """
    if sample.dialect.thousands or not names:
        return {name: _survey_others(block[name], sample, words) for name in names}
    values = block.select(_plain_numbers(names, sample, words))
    columns = {}
    for name, low, high, others in zip(
        names, values.min().row(0), values.max().row(0), values.null_count().row(0), strict=True
    ):
        plain = values[name].is_not_null() if others else None
        columns[name] = ColumnSurvey() if plain is None else _survey_others(block[name].filter(~plain), sample, words)
        if others < block.height:
            text = block[name] if plain is None else block[name].filter(plain)
            marks = {} if _points_are_clear(sample) else _examples(text, sample)
            columns[name].merge(ColumnSurvey(low=low, high=high, marks=marks))
    return columns


def _survey_texts(
    column: ColumnSurvey, values: pl.Series, missing: MissingWords, date_formats: tuple[str, ...]
) -> None:
    """Count a block's values, where few are numbers, and find the formats of dates that fit all of them."""
    counts = values.str.strip_chars().alias("value").value_counts(name="rows")
    absent = counts["value"].str.to_lowercase().is_in(missing.names)
    present = counts.filter(~absent)
    column.words = Counter(dict(counts.filter(absent & (counts["value"] != "")).iter_rows()))
    column.values = Counter(dict(present.head(MAX_TEXTS).iter_rows()))
    if present.height:
        column.dates = fitting_formats(present["value"], date_formats)


def _plain_numbers(names: list[str], sample: Sample, words: tuple[str, ...]) -> pl.Expr:
    """The values of fields that are a number to anybody; null for all other fields."""
    text = pl.col(names)
    value = text.str.replace(",", ".", literal=True) if sample.dialect.decimal == "," else text
    value = value.cast(pl.Float64, strict=False)
    plain = value.abs() <= LARGEST_FLOAT32
    if any(NUMBER.fullmatch(word.replace(",", ".")) for word in words):
        plain &= ~text.str.to_lowercase().is_in(words)
    return pl.when(plain).then(value)


def _points_are_clear(sample: Sample) -> bool:
    """Whether a point in a number is the decimal mark, whatever else the file holds."""
    return sample.dialect.decimal == "." and sample.dialect.delimiter not in DELIMITERS_BESIDE_COMMAS


def _examples(text: pl.Series, sample: Sample) -> dict[tuple[str, str], Example]:
    return {kind: Example(value, text.name, sample) for kind, value in find_marks(text).items()}


def _survey_others(column: pl.Series, sample: Sample, words: tuple[str, ...]) -> ColumnSurvey:
    """What fields hold that may be anything."""
    name, block = column.name, column.to_frame()
    text = number_text(name, sample.dialect)
    value = text.cast(pl.Float64, strict=False)
    number = (value.abs() <= LARGEST_FLOAT32).fill_null(False)
    absent = is_missing(name, words)
    plain = pl.col(name).is_in(["", "nan", "NaN"])
    stripped = pl.col(name).str.strip_chars()
    counts = block.select(
        missing=absent.sum(),
        not_number=(~absent & ~number).sum(),
        to_convert=pl.when(absent).then(~plain).otherwise(text != pl.col(name)).sum(),
        low=value.filter(number).min(),
        high=value.filter(number).max(),
        example=stripped.filter(~absent & ~number).first(),
    ).row(0, named=True)
    example = counts.pop("example")
    counts = {key: value for key, value in counts.items() if value is not None}
    marked = block.select(stripped.filter(~absent & ~number if _points_are_clear(sample) else ~absent)).to_series()
    first = None if example is None else Example(example, name, sample)
    return ColumnSurvey(**counts, example=first, marks=_examples(marked, sample))
