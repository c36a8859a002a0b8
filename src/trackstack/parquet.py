"""CSV to typed Parquet in one pass over blocks of lines; rows that break the contract are set aside.

Memory is bounded by the block, whatever the size of the files. A block becomes a row group, and since blocks
depend on the files' bytes alone, so do the bytes of the Parquet file. What a line is, `csv_lines` says.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple, TextIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trackstack import UserError
from trackstack.catalog import Contract
from trackstack.csv_lines import LineError, is_plain, join_fields, read_line, split_fields, with_unix_ends
from trackstack.digest import digest_file
from trackstack.ingest import Manifest, RawFile, check_header
from trackstack.outputs import PROFILE_FILE, REJECTED_FILE, ROWS_FILE, SEGMENT_COLUMN, new_folder, write_json
from trackstack.params import ParquetParams
from trackstack.profile import Profile

BLOCK_BYTES = 32 << 20
MAX_SHOWN = 80
FIRST_LINE = 2  # the header is line 1

ID_TYPES = {
    "int8": (pl.Int8, pa.int8()),
    "int16": (pl.Int16, pa.int16()),
    "int32": (pl.Int32, pa.int32()),
    "int64": (pl.Int64, pa.int64()),
    "text": (pl.String, pa.string()),
}


class Rejected(NamedTuple):
    """Why a row was set aside."""

    file: str
    line: int
    """Counted from 1, the header included."""
    column: str
    value: str
    reason: str


class Block(NamedTuple):
    """Whole lines of one file, without the header."""

    file: Path
    first_line: int
    header: list[str]
    content: bytes


def convert(manifest: Manifest, raw: Path, out: Path, params: ParquetParams) -> None:
    """Write `rows.parquet`, `profile.json` and `rejected.csv` into the folder `out`.

    Raises:
        UserError: a file changed since `ingest` or cannot be read; or more than `params.max_rejected` rows, or
            all, break the contract, and then `out` holds `rejected.csv` alone.
    """
    schema = parquet_schema(manifest.contract)
    profile = Profile(manifest.contract)
    with new_folder(out) as folder:
        with (
            (folder / REJECTED_FILE).open("w", newline="", encoding="utf-8") as report,
            pq.ParquetWriter(folder / ROWS_FILE, schema, compression=params.compression) as writer,
        ):
            rejected = Quarantine(report)
            for rows in accepted_rows(manifest, raw, rejected):
                profile.add(rows)
                writer.write_table(rows.to_arrow().cast(schema))
        _check_counts(manifest, profile, rejected)
        too_many = rejected.count > params.max_rejected
        failed = too_many or profile.rows == 0
        if failed:
            (folder / ROWS_FILE).unlink()
        else:
            write_json(folder / PROFILE_FILE, _sidecar(manifest, folder, profile, rejected.count))
    if failed:
        why = f"parquet.max_rejected is {params.max_rejected}" if too_many else "no row was accepted"
        first = rejected.first
        raise UserError(
            f"{raw / first.file}, line {first.line}: {first.column} is {first.value!r}; {first.reason} "
            f"({rejected.count:,} rows rejected, {why}; all are in {out / REJECTED_FILE})"
        )


class Quarantine:
    """The report of rejected rows, written as they come; only their number and the first stay in memory."""

    def __init__(self, report: TextIO):
        self.count = 0
        self.first: Rejected | None = None
        self._writer = csv.writer(report, lineterminator="\n")
        self._writer.writerow(Rejected._fields)

    def add(self, rejected: list[Rejected]) -> None:
        """Take the rejected rows of a block."""
        self.first = self.first or next(iter(rejected), None)
        self.count += len(rejected)
        self._writer.writerows(rejected)


def accepted_rows(manifest: Manifest, raw: Path, rejected: Quarantine) -> Iterator[pl.DataFrame]:
    """The good rows of each block, with the number of their segment; the bad ones go to `rejected`.

    A segment ends with its file, and where a row was rejected: what lies in one segment was recorded in a row.
    """
    segment = 0
    for block in read_blocks(manifest, raw):
        rows, bad = parse_block(block, manifest.contract)
        segment += block.first_line == FIRST_LINE
        yield rows.with_columns(pl.col(SEGMENT_COLUMN) + segment)
        segment += len(bad)
        rejected.add(bad)


def parquet_schema(contract: Contract) -> pa.Schema:
    """Types in the Parquet file: ids as the catalog says, float32 features, the label's number as int16."""
    fields = [(column, ID_TYPES[contract.id_type(column)][1]) for column in contract.id_columns()]
    fields += [(column, pa.float32()) for column in contract.feature_names()]
    return pa.schema([*fields, (contract.label, pa.int16()), (SEGMENT_COLUMN, pa.int32())])


def read_blocks(manifest: Manifest, raw: Path) -> Iterator[Block]:
    """Cut the files into blocks of whole lines, in order; UserError when one is not what `ingest` saw."""
    for file in manifest.files:
        path = raw / file.name
        try:
            with path.open("rb") as stream:
                yield from _cut(path, stream, file, manifest.contract)
        except FileNotFoundError:
            raise _changed(path) from None
        except OSError as error:
            raise UserError(f"{path}: cannot be read: {error.strerror}") from None


def _cut(path: Path, stream: BinaryIO, file: RawFile, contract: Contract) -> Iterator[Block]:
    digest = hashlib.sha256()
    first = read_line(stream)
    digest.update(first)
    header = check_header(path, first, contract)
    line = FIRST_LINE
    while content := stream.read(BLOCK_BYTES):
        digest.update(content)
        content += _rest_of_line(stream, digest)
        yield Block(path, line, header, content)
        line += content.count(b"\n")
    if digest.hexdigest() != file.sha256:
        raise _changed(path)


def _rest_of_line(stream: BinaryIO, digest: hashlib._Hash) -> bytes:
    """Complete a block; of a line that is too long to be accepted, the end is hashed and forgotten."""
    kept = read_line(stream)
    digest.update(kept)
    if not kept or kept.endswith(b"\n"):
        return kept
    dropped = b""
    while not dropped.endswith(b"\n") and (piece := read_line(stream)):
        digest.update(piece)
        dropped = piece
    return kept + b"\n" if dropped else kept


def _changed(path: Path) -> UserError:
    return UserError(f"{path}: changed since ingest looked at it; run dvc repro again")


def parse_block(block: Block, contract: Contract) -> tuple[pl.DataFrame, list[Rejected]]:
    """Parse a block: the rows that keep the contract, in order, and why the others do not.

    The rows' segment is counted from the block's start.
    """
    content = with_unix_ends(block.content)
    if is_plain(content):
        with contextlib.suppress(pl.exceptions.PolarsError):
            rows = _finish(_parse(content, block.header, contract, lenient=False), contract)
            num_lines = content.count(b"\n") + (not content.endswith(b"\n"))
            if rows.height == num_lines and not _faulty(rows, contract).any():
                return rows.with_columns(pl.lit(0).alias(SEGMENT_COLUMN)), []
    return _parse_with_faults(block, content, contract)


def _parse_with_faults(block: Block, content: bytes, contract: Contract) -> tuple[pl.DataFrame, list[Rejected]]:
    """The slow way, for a block in which something is wrong: the same parser, asked to go on."""
    whole, rejected = [], []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), start=block.first_line):
        try:
            whole.append((number, _normal_line(line, len(block.header))))
        except LineError as reason:
            shown = line[: 4 * MAX_SHOWN].decode("utf-8", "replace").replace("\r", "\\r")[:MAX_SHOWN]
            rejected.append(Rejected(block.file.name, number, "row", shown, str(reason)))
    lines = b"".join(line + b"\n" for _, line in whole)
    rows = _finish(_parse(lines, block.header, contract, lenient=True), contract)
    assert rows.height == len(whole), "a line is a row once those with another field count are out"
    faulty = _faulty(rows, contract).to_numpy()
    for index in np.flatnonzero(faulty):
        number, line = whole[index]
        rejected.append(_explain(block, number, line, rows.row(int(index), named=True), contract))
    rejected.sort(key=lambda row: row.line)
    numbers = np.array([number for number, _ in whole], dtype=np.int64)
    segment = np.searchsorted([row.line for row in rejected], numbers).astype(np.int32)
    return rows.with_columns(pl.Series(SEGMENT_COLUMN, segment)).filter(~faulty), rejected


def _parse(content: bytes, header: list[str], contract: Contract, *, lenient: bool) -> pl.DataFrame:
    """Typed columns of lines without a header; lenient: a value that does not parse becomes null."""
    types = {column: ID_TYPES[contract.id_type(column)][0] for column in contract.id_columns()}
    types |= dict.fromkeys(contract.feature_names(), pl.Float32) | {contract.label: pl.String}
    schema = {str(number): types[column] for number, column in enumerate(header)}
    # A first line of our own: polars takes a byte order mark, an empty line or the magic number of a compressed
    # file there for more than text, and which row comes first is an accident of the block.
    lines = ",".join(schema).encode() + b"\n" + content
    rows = pl.read_csv(io.BytesIO(lines), schema=schema, ignore_errors=lenient)
    return rows.rename(dict(zip(schema, header, strict=True)))


def _finish(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Columns in the contract's order, the label as the number of its class (null when it is none)."""
    number = {name: index for index, name in enumerate(contract.classes)}
    label = pl.col(contract.label).replace_strict(number, default=None, return_dtype=pl.Int16)
    return rows.with_columns(label).select(contract.columns())


def _faulty(rows: pl.DataFrame, contract: Contract) -> pl.Series:
    """Which rows have a missing value or a feature that is not finite."""
    faults = [pl.col(column).is_null() for column in contract.columns()]
    faults += [~pl.col(column).is_finite() for column in contract.feature_names()]
    faults += [pl.col(column) == "" for column in contract.id_columns() if contract.id_type(column) == "text"]
    return rows.select(pl.any_horizontal(*faults).fill_null(True).alias("faulty"))["faulty"]


def _normal_line(line: bytes, num_fields: int) -> bytes:
    """The line as any parser reads it alike; LineError when it is no row at all."""
    fields = split_fields(line)
    if len(fields) != num_fields:
        raise LineError(f"{len(fields)} fields, expected {num_fields}")
    return join_fields(fields) if b'"' in line else line


def _explain(block: Block, number: int, line: bytes, row: dict, contract: Contract) -> Rejected:
    """Name the first column of a faulty row that breaks the contract."""
    texts = dict(zip(block.header, split_fields(line), strict=True))
    for column in block.header:
        value = row[column]
        if value not in (None, "") and (column not in contract.feature_names() or np.isfinite(value)):
            continue
        if not texts[column].strip():
            reason = "expected a value"
        elif column == contract.label:
            reason = f"expected one of {', '.join(contract.classes)}"
        elif column in contract.feature_names():
            reason = "expected a finite number"
        else:
            reason = f"expected {contract.id_type(column)}"
        return Rejected(block.file.name, number, column, texts[column][:MAX_SHOWN], reason)
    raise AssertionError("only faulty rows are explained")


def _check_counts(manifest: Manifest, profile: Profile, rejected: Quarantine) -> None:
    if profile.rows + rejected.count != manifest.num_samples:
        raise UserError(
            f"{manifest.path}: {profile.rows:,} rows accepted and {rejected.count:,} rejected, but "
            f"the manifest has {manifest.num_samples:,}; type: dvc repro --force ingest"
        )


def _sidecar(manifest: Manifest, folder: Path, profile: Profile, num_rejected: int) -> dict:
    return {
        "dataset": manifest.dataset,
        "reads": manifest.digest,
        "digest": digest_file(folder / ROWS_FILE),
        "rows": {"read": manifest.num_samples, "accepted": profile.rows, "rejected": num_rejected},
        "contract": manifest.contract.model_dump(mode="json"),
        **profile.as_json(),
    }
