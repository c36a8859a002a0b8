"""CSV to typed Parquet in one pass over blocks of lines; rows that break the contract are set aside.

Memory is bounded by the block, whatever the size of the files. A block becomes a row group, and since blocks
depend on the files' bytes alone, so do the bytes of the Parquet file.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from trackstack import UserError
from trackstack.catalog import Contract
from trackstack.digest import digest_file
from trackstack.ingest import Manifest
from trackstack.outputs import PROFILE_FILE, REJECTED_FILE, ROWS_FILE, new_folder, write_json
from trackstack.params import ParquetParams
from trackstack.profile import Profile

BLOCK_BYTES = 32 << 20

ID_TYPES = {"int8": pl.Int8, "int16": pl.Int16, "int32": pl.Int32, "int64": pl.Int64, "text": pl.String}


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
        UserError: more than `params.max_rejected` rows break the contract, or a file changed since `ingest`.
            `out` then holds `rejected.csv` alone.
    """
    contract = manifest.contract
    schema = parquet_schema(contract)
    profile = Profile(contract)
    rejected: list[Rejected] = []
    with new_folder(out) as folder:
        with pq.ParquetWriter(folder / ROWS_FILE, schema, compression=params.compression) as writer:
            for block in read_blocks(manifest, raw):
                rows, bad = parse_block(block, contract)
                rejected += bad
                profile.add(rows)
                writer.write_table(rows.to_arrow().cast(schema))
        _write_rejected(folder / REJECTED_FILE, rejected)
        _check_counts(manifest, profile, rejected)
        too_many = len(rejected) > params.max_rejected
        if too_many:
            (folder / ROWS_FILE).unlink()
        else:
            write_json(folder / PROFILE_FILE, _sidecar(manifest, folder, profile, len(rejected)))
    if too_many:
        first = rejected[0]
        raise UserError(
            f"{raw / first.file}, line {first.line}: {first.column} is {first.value!r}; {first.reason} "
            f"({len(rejected):,} rows rejected, parquet.max_rejected is {params.max_rejected}; "
            f"all are in {out / REJECTED_FILE})"
        )


def parquet_schema(contract: Contract) -> pa.Schema:
    """Types in the Parquet file: ids as the catalog says, float32 features, the label's number as int16."""
    id_types = {
        "text": pa.string(),
        "int8": pa.int8(),
        "int16": pa.int16(),
        "int32": pa.int32(),
        "int64": pa.int64(),
    }
    fields = [pa.field(column, id_types[contract.id_type(column)]) for column in contract.id_columns()]
    fields += [pa.field(column, pa.float32()) for column in contract.feature_names()]
    return pa.schema([*fields, pa.field(contract.label, pa.int16())])


def read_blocks(manifest: Manifest, raw: Path) -> Iterator[Block]:
    """Cut the files into blocks of whole lines, in order."""
    for file in manifest.files:
        path = raw / file.name
        if not path.exists() or path.stat().st_size != file.bytes:
            raise UserError(f"{path}: changed since ingest looked at it; run dvc repro again")
        with path.open("rb") as stream:
            header = next(csv.reader([stream.readline().decode("utf-8-sig").strip()]))
            line = 2
            while content := stream.read(BLOCK_BYTES):
                content += stream.readline()
                yield Block(path, line, header, content)
                line += content.count(b"\n")


def parse_block(block: Block, contract: Contract) -> tuple[pl.DataFrame, list[Rejected]]:
    """Parse a block: the rows that keep the contract, in order, and why the others do not."""
    num_lines = block.content.count(b"\n") + (not block.content.endswith(b"\n"))
    try:
        rows = _finish(_parse(block.content, block.header, contract, lenient=False), contract)
    except (pl.exceptions.PolarsError, UnicodeDecodeError):
        rows = None
    if rows is not None and rows.height == num_lines and not _faulty(rows, contract).any():
        return rows, []
    return _parse_with_faults(block, contract)


def _parse_with_faults(block: Block, contract: Contract) -> tuple[pl.DataFrame, list[Rejected]]:
    """The slow way, for a block in which something is wrong: the same parser, asked to go on."""
    whole, rejected = [], []
    for number, line in enumerate(block.content.splitlines(), start=block.first_line):
        if reason := _line_fault(line, len(block.header)):
            shown = line.decode("utf-8", "replace")[:80]
            rejected.append(Rejected(block.file.name, number, "row", shown, reason))
        else:
            whole.append((number, line))
    lines = b"".join(line + b"\n" for _, line in whole)
    rows = _finish(_parse(lines, block.header, contract, lenient=True), contract)
    assert rows.height == len(whole), "a line is a row once those with another field count are out"
    faulty = _faulty(rows, contract)
    for index in np.flatnonzero(faulty.to_numpy()):
        number, line = whole[index]
        rejected.append(_explain(block, number, line, rows.row(int(index), named=True), contract))
    return rows.filter(~faulty), sorted(rejected, key=lambda row: row.line)


def _parse(content: bytes, header: list[str], contract: Contract, *, lenient: bool) -> pl.DataFrame:
    """Typed columns of lines without a header; lenient: a value that does not parse becomes null."""
    types = {column: ID_TYPES[contract.id_type(column)] for column in contract.id_columns()}
    types |= dict.fromkeys(contract.feature_names(), pl.Float32) | {contract.label: pl.String}
    schema = {column: types[column] for column in header}
    if not content:
        return pl.DataFrame(schema=schema)
    # Without a quote in it a block needs no quoting, and then nothing can swallow the end of a line.
    quote = '"' if b'"' in content else None
    return pl.read_csv(
        io.BytesIO(content), has_header=False, schema=schema, quote_char=quote, ignore_errors=lenient
    )


def _finish(rows: pl.DataFrame, contract: Contract) -> pl.DataFrame:
    """Columns in the contract's order, the label as the number of its class (null when it is none)."""
    number = {name: index for index, name in enumerate(contract.classes)}
    label = pl.col(contract.label).replace_strict(number, default=None, return_dtype=pl.Int16)
    return rows.with_columns(label).select(contract.columns())


def _faulty(rows: pl.DataFrame, contract: Contract) -> pl.Series:
    """Which rows have a missing value or a feature that is not finite."""
    faults = [pl.col(column).is_null() for column in contract.columns()]
    faults += [~pl.col(column).is_finite() for column in contract.feature_names()]
    return rows.select(pl.any_horizontal(*faults).fill_null(True).alias("faulty"))["faulty"]


def _line_fault(line: bytes, num_fields: int) -> str | None:
    """What keeps a line from being a row at all; None when nothing does."""
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        return f"byte {error.start + 1} is not UTF-8"
    if not text.strip():
        return "an empty line"
    if text.count('"') % 2:
        return "a quote is not closed"
    fields = len(next(csv.reader([text]))) if '"' in text else text.count(",") + 1
    return None if fields == num_fields else f"{fields} fields, expected {num_fields}"


def _explain(block: Block, number: int, line: bytes, row: dict, contract: Contract) -> Rejected:
    """Name the first column of a faulty row that breaks the contract."""
    texts = dict(zip(block.header, next(csv.reader([line.decode("utf-8")])), strict=True))
    for column in block.header:
        value = row[column]
        if value is not None and (column not in contract.feature_names() or np.isfinite(value)):
            continue
        if not texts[column].strip():
            reason = "expected a value"
        elif column == contract.label:
            reason = f"expected one of {', '.join(contract.classes)}"
        elif column in contract.feature_names():
            reason = "expected a finite number"
        else:
            reason = f"expected {contract.id_type(column)}"
        return Rejected(block.file.name, number, column, texts[column], reason)
    raise AssertionError("only faulty rows are explained")


def _check_counts(manifest: Manifest, profile: Profile, rejected: list[Rejected]) -> None:
    if profile.rows + len(rejected) != manifest.num_samples:
        raise UserError(
            f"{manifest.path}: {profile.rows:,} rows accepted and {len(rejected):,} rejected, but "
            f"the manifest has {manifest.num_samples:,}; "
            "a file changed since ingest looked at it: run dvc repro again"
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


def _write_rejected(path: Path, rejected: list[Rejected]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(Rejected._fields)
        writer.writerows(rejected)
