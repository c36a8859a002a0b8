"""Read whole files once, block by block, and count what the plan needs: rows, values, what is no number."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.csv

from pipeline.import_data.dialect import Sample
from pipeline.import_data.values import DELIMITERS_BESIDE_COMMAS, MissingWords, find_marks, is_missing, number_text
from pipeline.ingest.csv_lines import open_csv
from trackstack import UserError
from trackstack.core.progress import progress

BLOCK_BYTES = 8 << 20
MAX_VALUES = 100_000
"""Of a label, group or series; beyond, they are no names."""


class Example(NamedTuple):
    """A value, without spaces around it, and where the first like it stands."""

    value: str
    column: str
    sample: Sample

    def place(self) -> str:
        """File and line, for a message: read again, since lines are not counted while all is well."""
        sample, column = self.sample, self.sample.header.index(self.column)
        with open_csv(sample.file) as (stream, _):
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
    """Of a column of names: how many rows have each, missing ones left out."""
    words: Counter = field(default_factory=Counter)
    """Of a column of names: how many rows have each word that stands for a missing value."""
    amounts: ColumnSurvey | None = None
    """Of a label: the same column as one of numbers."""

    def merge(self, other: ColumnSurvey) -> None:
        """Take another block's or file's column into account."""
        for name in ("missing", "not_number", "to_convert"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)
        self.example = self.example or other.example
        self.marks = other.marks | self.marks
        self.words.update(other.words)
        if other.amounts:
            self.amounts = self.amounts or ColumnSurvey()
            self.amounts.merge(other.amounts)
        if len(self.values) <= MAX_VALUES:
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


def survey_files(
    samples: list[Sample],
    names: set[str],
    missing: MissingWords,
    time: str | None = None,
    labels: Iterable[str] = (),
) -> list[FileSurvey]:
    """Read every file.

    Args:
        names: the columns whose values are names (label, group, series): they are counted.
        missing: the words that stand for a missing value.
        time: the column without whose value a row is incomplete as well.
        labels: those of the names that may be amounts.

    Raises:
        UserError: a file cannot be read as its sample says.
    """
    surveys: list[FileSurvey] = []
    done = 0
    with progress("reading", sum(sample.file.stat().st_size for sample in samples)) as show:
        for sample in samples:
            columns = {name: ColumnSurvey() for name in sample.header}
            broken: list[int] = []
            rows = incomplete = 0
            for block in read_blocks(sample, broken):
                rows += block.height
                absent = [is_missing(name, missing.names) for name in sample.header if name in names]
                absent += [is_missing(time, missing.numbers)] if time in sample.header else []
                incomplete += int(block.select(pl.any_horizontal(absent).sum()).item()) if absent else 0
                for name, column in _survey_block(block, sample, names, missing).items():
                    if name in labels:
                        column.amounts = survey_numbers(block, sample, name, missing.numbers)
                    columns[name].merge(column)
            surveys.append(FileSurvey(sample, rows, len(broken), incomplete, columns))
            done += sample.file.stat().st_size
            show(done)
    return surveys


def read_blocks(sample: Sample, broken: list[int] | None = None) -> Iterator[pl.DataFrame]:
    """The rows of a file as text, in blocks; lines with another number of fields are noted in `broken`.

    Raises:
        UserError: without `broken`, at such a line; or where the file cannot be read.
    """

    def on_broken(row: pa.csv.InvalidRow) -> str:
        if broken is None:
            return "error"
        broken.append(row.number or 0)
        return "skip"

    with open_csv(sample.file) as (stream, _):
        try:
            reader = pa.csv.open_csv(
                pa.PythonFile(stream, "r"),
                read_options=pa.csv.ReadOptions(
                    block_size=BLOCK_BYTES,
                    column_names=sample.header,
                    skip_rows=1 + sample.skipped,
                    encoding=sample.dialect.encoding,
                    use_threads=False,  # a broken line keeps its number
                ),
                parse_options=pa.csv.ParseOptions(delimiter=sample.dialect.delimiter, invalid_row_handler=on_broken),
                convert_options=pa.csv.ConvertOptions(
                    column_types=dict.fromkeys(sample.header, pa.string()), strings_can_be_null=False
                ),
            )
            for batch in reader:
                yield pl.DataFrame(pl.from_arrow(pa.Table.from_batches([batch])))
        except (pa.ArrowException, UnicodeDecodeError, LookupError) as error:
            raise UserError(f"{sample.file}: cannot be read: {' '.join(str(error).split())[:200]}") from None


def _survey_block(
    block: pl.DataFrame, sample: Sample, names: set[str], missing: MissingWords
) -> dict[str, ColumnSurvey]:
    columns = {}
    for name in sample.header:
        if name in names:
            text = block[name].str.strip_chars()
            values = Counter(dict(text.alias("value").value_counts().iter_rows()))  # a column may be called count
            words = Counter({value: values.pop(value) for value in list(values) if value.lower() in missing.names})
            absent, empty = words.total(), words.pop("", 0)
            to_convert = int((text != block[name]).sum()) + absent - empty
            columns[name] = ColumnSurvey(absent, to_convert=to_convert, values=values, words=words)
        else:
            columns[name] = survey_numbers(block, sample, name, missing.numbers)
    return columns


def survey_numbers(block: pl.DataFrame, sample: Sample, name: str, words: tuple[str, ...]) -> ColumnSurvey:
    """What a column of numbers holds."""
    text = number_text(name, sample.dialect)
    value = text.cast(pl.Float64, strict=False)
    number = value.is_finite().fill_null(False)
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
    point = sample.dialect.decimal == "." and sample.dialect.delimiter not in DELIMITERS_BESIDE_COMMAS
    marked = block.select(stripped.filter(~absent & ~number if point else ~absent)).to_series()
    marks = {key: Example(value, name, sample) for key, value in find_marks(marked).items()}
    return ColumnSurvey(**counts, example=None if example is None else Example(example, name, sample), marks=marks)
