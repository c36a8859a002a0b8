"""CSV to typed Parquet in one pass over blocks of lines; rows that break the contract are set aside.

Blocks are parsed by several threads and written in order. Memory is bounded by the block, whatever the size of the
files. A block becomes a row group, and since blocks depend on the files' bytes alone, so do the bytes of the Parquet
file. What a line is, `csv_lines` says; what a row is, `csv_rows`.
"""

from __future__ import annotations

import csv
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, TextIO

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipeline.contract.catalog import Contract
from pipeline.contract.layout import PROFILE_FILE, REJECTED_FILE, ROWS_FILE, SEGMENT_COLUMN
from pipeline.contract.moments import Moments
from pipeline.ingest.csv_lines import count_lines, open_csv, read_line
from pipeline.ingest.manifest import Manifest, check_header
from pipeline.parquet.csv_rows import Block, ParsedBlock, Rejected, first_line_for_polars, parse_block
from pipeline.parquet.params import Params
from pipeline.parquet.profile import Profile
from pipeline.parquet.series_order import SeriesOrder
from trackstack import UserError
from trackstack.core.digest import digest_file
from trackstack.core.files import new_folder, write_json
from trackstack.core.progress import progress

BLOCK_BYTES = 8 << 20
BLOCK_LINES = 1 << 17  # so that a block of empty lines does not become millions of rejected rows at once
FIRST_LINE = 2  # the header is line 1
MAX_THREADS = 8  # rows are written by one: more parsers would wait for it, each with a block in memory

ID_TYPES = {
    "int8": pa.int8(),
    "int16": pa.int16(),
    "int32": pa.int32(),
    "int64": pa.int64(),
    "float64": pa.float64(),
    "text": pa.string(),
}

FEATURE_TYPES = {
    "number": pa.float32(),
    "category": pa.dictionary(pa.int32(), pa.string(), ordered=False),
    "time": pa.float64(),
}


def convert(manifest: Manifest, raw: Path, out: Path, params: Params) -> None:
    """Write `rows.parquet`, `profile.json` and `rejected.csv` into the folder `out`.

    Raises:
        UserError: a file changed since `ingest` or cannot be read; or more than `params.max_rejected` rows, or
            all, break the contract, and then `out` holds `rejected.csv` alone.
    """
    schema = parquet_schema(manifest.contract)
    profile = Profile(manifest.contract)
    # Of measured values hardly two are equal, and looking for those that are takes longer than parsing.
    amounts = manifest.contract.amounts()
    few_values = [field.name for field in schema if field.name not in amounts]
    with new_folder(out) as folder:
        with (
            (folder / REJECTED_FILE).open("w", newline="", encoding="utf-8") as report,
            pq.ParquetWriter(
                folder / ROWS_FILE, schema, compression=params.compression, use_dictionary=few_values
            ) as writer,
        ):
            rejected = RejectedRows(report)
            for rows, moments in accepted_rows(manifest, raw, rejected):
                profile.add(rows, moments)
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
        raise UserError(
            f"{raw}/{rejected.first} ({rejected.count:,} row{'s' * (rejected.count > 1)} rejected, {why}; "
            f"all are in {out / REJECTED_FILE})"
        )


class RejectedRows:
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


def accepted_rows(
    manifest: Manifest, raw: Path, rejected: RejectedRows
) -> Iterator[tuple[pl.DataFrame, dict[str, Moments]]]:
    """The good rows of each block, with the number of their segment, and their moments; bad ones go to `rejected`.

    A segment ends with its file, and where a row was rejected: what lies in one segment was recorded in a row.
    """
    contract = manifest.contract

    def parse(block: Block) -> tuple[Block, ParsedBlock]:
        return block, parse_block(block, contract)

    segment, order = 0, SeriesOrder(contract)
    for block, parsed in _map_in_order(parse, read_blocks(manifest, raw), min(pl.thread_pool_size(), MAX_THREADS)):
        if block.first_line == FIRST_LINE:
            segment += 1
            order.begin_file()
        checked = order.check(parsed, block.file.name)
        segments = np.full(checked.rows.height, segment, np.int32)
        if checked.rejected:
            segments += np.searchsorted([row.line for row in checked.rejected], checked.lines).astype(np.int32)
        yield checked.rows.with_columns(pl.Series(SEGMENT_COLUMN, segments)), checked.moments
        segment += len(checked.rejected)
        rejected.add(checked.rejected)


def _map_in_order(function: Callable, items: Iterator, num_threads: int) -> Iterator:
    """Results in the order of the items, of which few are in memory at once."""
    with ThreadPoolExecutor(num_threads) as pool:
        waiting: deque[Future] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > num_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def parquet_schema(contract: Contract) -> pa.Schema:
    """Types in the Parquet file: ids as the catalog says, features by their kind, float32 amounts, int16 classes."""
    types = {column: ID_TYPES[contract.id_type(column)] for column in contract.id_columns()}
    types |= {feature.name: FEATURE_TYPES[feature.kind] for feature in contract.features}
    types |= {contract.label: pa.int16()} if contract.label else dict.fromkeys(contract.target_names(), pa.float32())
    types[SEGMENT_COLUMN] = pa.int32()
    may_be_null = {feature.name for feature in contract.features if feature.missing == "mean"}
    return pa.schema([pa.field(name, of, nullable=name in may_be_null) for name, of in types.items()])


def read_blocks(manifest: Manifest, raw: Path) -> Iterator[Block]:
    """Cut the files into blocks of whole lines, in order; UserError when one is not what `ingest` saw."""
    done = 0
    with progress("checking rows", sum(file.bytes for file in manifest.files)) as show:
        for file in manifest.files:
            path = raw / file.name
            try:
                xxh3 = xxhash.xxh3_128()
                with open_csv(path, xxh3) as (stream, on_disk):
                    for block in _cut(path, stream, manifest.contract):
                        yield block
                        show(done + on_disk.num_bytes)
                    on_disk.finish()
                    if xxh3.hexdigest() != file.xxh3:
                        raise _changed(path)
            except FileNotFoundError:
                raise _changed(path) from None
            done += file.bytes


def _cut(path: Path, stream: BinaryIO, contract: Contract) -> Iterator[Block]:
    header = check_header(path, read_line(stream), contract)
    line = FIRST_LINE
    first = first_line_for_polars(header)
    while content := stream.read(BLOCK_BYTES):
        content = b"".join([first, content, _rest_of_line(stream)])
        num_lines = count_lines(content) - 1 + (not content.endswith(b"\n"))
        if num_lines <= BLOCK_LINES:
            yield Block(path, line, num_lines, header, content)
        else:
            for number, piece in enumerate(_at_most_lines(content[len(first) :])):
                done = number * BLOCK_LINES
                yield Block(path, line + done, min(BLOCK_LINES, num_lines - done), header, first + piece)
        line += num_lines


def _at_most_lines(content: bytes) -> Iterator[bytes]:
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))[BLOCK_LINES - 1 :: BLOCK_LINES] + 1
    return (content[begin:end] for begin, end in pairwise([0, *ends.tolist(), len(content)]) if begin < end)


def _rest_of_line(stream: BinaryIO) -> bytes:
    """Complete a block; of a line that is too long to be accepted, the end is forgotten."""
    kept = read_line(stream)
    if not kept or kept.endswith(b"\n"):
        return kept
    dropped = b""
    while not dropped.endswith(b"\n") and (piece := read_line(stream)):
        dropped = piece
    return kept + b"\n" if dropped else kept


def _changed(path: Path) -> UserError:
    return UserError(f"{path}: changed since ingest looked at it; run dvc repro again")


def _check_counts(manifest: Manifest, profile: Profile, rejected: RejectedRows) -> None:
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
