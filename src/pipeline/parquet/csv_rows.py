"""What makes a row bad. Lines of CSV become typed rows; a bad row is set aside with line, column, value and reason.

What becomes of a line depends on it alone, not on its neighbours: a block without a fault is parsed in one go, and
one with faults once more, with its irregular lines one by one.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pipeline.contract.catalog import Contract
from pipeline.contract.columns import Feature
from pipeline.contract.moments import Moments
from pipeline.ingest.csv_lines import (
    LineError,
    is_plain,
    join_fields,
    line_lengths,
    longest_field,
    split_fields,
    with_unix_ends,
)
from pipeline.parquet.faults import explain, extra_texts, faults
from pipeline.parquet.profile import block_moments

MAX_SHOWN = 80

TYPES = {
    "int8": pl.Int8,
    "int16": pl.Int16,
    "int32": pl.Int32,
    "int64": pl.Int64,
    "float64": pl.Float64,
    "text": pl.String,
}


class Rejected(NamedTuple):
    """Why a row was set aside."""

    file: str
    line: int
    """Counted from 1, the header included."""
    column: str
    value: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}, line {self.line}: {self.column} is {self.value!r}; {self.reason}"


class Block(NamedTuple):
    """Whole lines of one file, without its header."""

    file: Path
    first_line: int
    num_lines: int
    header: list[str]
    content: bytes
    """`first_line_for_polars`, then the lines: put together once, since a copy costs as much as reading."""


class ParsedBlock(NamedTuple):
    """What became of a block."""

    rows: pl.DataFrame
    """The rows that keep the contract, in order, in one chunk: columns as in `Contract.columns`."""
    lines: np.ndarray
    """int64, the number of each row's line in its file."""
    moments: dict[str, Moments]
    """Of these rows' features but for categories: what shows that they are in order, and goes into the profile."""
    rejected: list[Rejected]
    """The other lines, in order."""

    @classmethod
    def of(cls, rows: pl.DataFrame, lines: np.ndarray, rejected: list[Rejected], contract: Contract) -> ParsedBlock:
        """Describe rows that were checked."""
        return cls(rows, lines, block_moments(rows, contract), rejected)


def first_line_for_polars(header: list[str]) -> bytes:
    """A header of our own: polars takes a byte order mark, an empty line or the magic number of a compressed file in
    the first line for more than text, and which row comes first is an accident of the block."""
    return ",".join(map(str, range(len(header)))).encode() + b"\n"


def parse_block(block: Block, contract: Contract) -> ParsedBlock:
    """Parse a block: the rows that keep the contract, and why the others do not."""
    content = with_unix_ends(block.content)
    if is_plain(content):
        with contextlib.suppress(pl.exceptions.PolarsError):
            rows = _finish(_parse(content, block.header, contract, lenient=False), contract)
            lines = np.arange(block.first_line, block.first_line + rows.height)
            parsed = ParsedBlock.of(rows, lines, [], contract)
            whole = len(lines) == block.num_lines and not _may_lack_a_field(block, content, rows, contract)
            if whole and _is_faultless(parsed, contract):
                return parsed
    return _parse_with_faults(block, content.removeprefix(first_line_for_polars(block.header)), contract)


def _parse_with_faults(block: Block, content: bytes, contract: Contract) -> ParsedBlock:
    """The slow way: irregular lines one by one, the others by the same parser, which now goes on after a fault."""
    lengths = line_lengths(content)
    ends = np.cumsum(lengths + 1) - 1
    begins = ends - lengths
    irregular = np.flatnonzero(_irregular_lines(content, lengths, ends, len(block.header)))
    cleaned, rejected = _normalise_or_reject(
        block, content, [(at, begins[at], ends[at]) for at in irregular.tolist()]
    )
    parsed = _parse(first_line_for_polars(block.header) + cleaned, block.header, contract, lenient=True)
    numbers = np.delete(np.arange(len(ends)), [row.line - block.first_line for row in rejected])
    assert parsed.height == len(numbers), "a line is a row once those with another field count are out"

    def fields(index: int) -> list[str]:
        return split_fields(content[begins[numbers[index]] : ends[numbers[index]]])

    rows = _finish(parsed, contract)
    columns = _first_faulty_columns(rows, parsed, block.header, contract, fields)
    for index, column in columns.items():
        rejected.append(_rejected(block, int(numbers[index]), column, fields(index)[column], contract))
    rejected.sort(key=lambda row: row.line)
    good = np.ones(rows.height, bool)
    good[list(columns)] = False
    return ParsedBlock.of(rows.filter(good).rechunk(), block.first_line + numbers[good], rejected, contract)


def _normalise_or_reject(block: Block, content: bytes, irregular: list[tuple]) -> tuple[bytes, list[Rejected]]:
    """The content without lines that are no row; irregular lines (number, begin, end) as every parser reads them."""
    pieces, rejected, done = [], [], 0
    for number, begin, end in irregular:
        line = content[begin:end]
        pieces.append(content[done:begin])
        done = end + 1
        try:
            pieces.append(_normal_line(line, len(block.header)) + b"\n")
        except LineError as reason:
            shown = line[: 4 * MAX_SHOWN].decode("utf-8", "replace").replace("\r", "\\r")[:MAX_SHOWN]
            rejected.append(Rejected(block.file.name, block.first_line + number, "row", shown, str(reason)))
    return b"".join([*pieces, content[done:]]), rejected


def _first_faulty_columns(
    rows: pl.DataFrame,
    parsed: pl.DataFrame,
    header: list[str],
    contract: Contract,
    fields: Callable[[int], list[str]],
) -> dict[int, int]:
    """For each row with a fault, by its index: the first column that has one."""
    numbered = enumerate(faults(header, contract))
    first = pl.min_horizontal(pl.when(fault).then(pl.lit(column, pl.Int32)) for column, fault in numbered)
    by_row = enumerate(rows.select(first.alias("column"))["column"].to_list())
    columns = {index: column for index, column in by_row if column is not None}
    for feature in contract.measured():
        if feature.missing == "mean":  # the lenient parser makes null of any text that is no number
            column = header.index(feature.name)
            for index in parsed[feature.name].is_null().arg_true().to_list():
                if fields(index)[column].strip():
                    columns[index] = min(column, columns.get(index, column))
    return columns


def _parse(content: bytes, header: list[str], contract: Contract, *, lenient: bool) -> pl.DataFrame:
    """Typed columns of the lines of a block; lenient: a value that does not parse becomes null."""
    types: dict[str, Any] = {column: TYPES[contract.id_type(column)] for column in contract.id_columns()}
    types |= {feature.name: _parsed_type(feature, lenient) for feature in contract.features}
    types |= dict.fromkeys(contract.target_names(), pl.Float32)
    if contract.label:
        types[contract.label] = pl.String if lenient else pl.Enum(contract.classes)
    schema = {str(number): types[column] for number, column in enumerate(header)}
    quote = '"' if b'"' in content else None
    rows = pl.read_csv(io.BytesIO(content), schema=schema, ignore_errors=lenient, quote_char=quote)
    return rows.rename(dict(zip(schema, header, strict=True)))


def _parsed_type(feature: Feature, lenient: bool) -> Any:
    if feature.kind == "category":
        # Where another value is missing, it must not stop the parser.
        return pl.String if lenient or feature.missing == "mean" else pl.Enum(feature.categories)
    return pl.Float64 if feature.kind == "time" else pl.Float32


def _finish(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Columns in the contract's order, the label as the number of its class (null when it is none), one chunk.

    How many chunks the parser makes depends on the number of its threads, and the order of sums on the chunks.
    """
    names = [contract.label] if contract.label else []
    label = [
        pl.col(name).cast(pl.Enum(contract.classes), strict=False).to_physical().cast(pl.Int16) for name in names
    ]
    features = [_finished(feature) for feature in contract.features]
    may_be_empty = [pl.col(name).fill_null("") for name in extra_texts(contract)]
    return rows.with_columns(*label, *features, *may_be_empty).select(contract.columns()).rechunk()


def _finished(feature: Feature) -> pl.Expr:
    value = pl.col(feature.name)
    if feature.kind == "category":
        return value.cast(pl.Enum(feature.categories), strict=False)
    return value.fill_nan(None) if feature.missing == "mean" else value


def _is_faultless(parsed: ParsedBlock, contract: Contract) -> bool:
    """Whether no row has a fault: the same answer as from `faults`, from extremes that are needed anyway."""
    for feature in contract.measured():
        moments, (low, high) = parsed.moments[feature.name], feature.range or (-np.inf, np.inf)
        if moments.nulls and feature.missing == "reject":
            return False
        if moments.count and not (np.float32(low) <= moments.low and moments.high <= np.float32(high)):
            return False
        if moments.count and np.isinf([moments.low, moments.high]).any():
            return False
    measured = {feature.name for feature in contract.measured()}
    others = [name for name in contract.columns() if name not in measured]
    return not parsed.rows.select(pl.any_horizontal(faults(others, contract)).any()).item()


def _may_lack_a_field(block: Block, content: bytes, rows: pl.DataFrame, contract: Contract) -> bool:
    """Whether a missing last value may be a missing field: the parser makes null of both."""
    last = block.header[-1]
    if last in extra_texts(contract):
        missing = (rows[last] == "").any()
    else:
        missing = last in contract.feature_names() and rows[last].null_count() > 0
    if not missing:
        return False
    return b'"' in content or content.count(b",") != (1 + block.num_lines) * (len(block.header) - 1)


def _irregular_lines(content: bytes, lengths: np.ndarray, ends: np.ndarray, num_fields: int) -> np.ndarray:
    """bool per line: a parser may not split it as `split_fields` does, or it has another number of fields."""
    letters = np.frombuffer(content, np.uint8)
    num_commas = np.diff(np.searchsorted(np.flatnonzero(letters == ord(",")), ends), prepend=0)
    irregular = (num_commas != num_fields - 1) | (lengths > longest_field())
    for letter in (b'"', b"\r"):
        if letter in content:
            irregular[np.searchsorted(ends, np.flatnonzero(letters == ord(letter)))] = True
    try:
        content.decode()
    except UnicodeDecodeError:
        irregular[np.searchsorted(ends, np.flatnonzero(letters >= 0x80))] = True
    return irregular


def _normal_line(line: bytes, num_fields: int) -> bytes:
    """The line as any parser reads it alike; LineError when it is no row at all."""
    fields = split_fields(line)
    if len(fields) != num_fields:
        raise LineError(f"{len(fields)} fields, expected {num_fields}")
    return join_fields(fields) if b'"' in line else line


def _rejected(block: Block, number: int, column: int, value: str, contract: Contract) -> Rejected:
    name = block.header[column]
    reason = explain(name, value, contract)
    return Rejected(block.file.name, block.first_line + number, name, value[:MAX_SHOWN], reason)
