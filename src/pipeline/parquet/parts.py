"""A part: the rows of a raw file, or of a piece of it, in Parquet, and their summary.

A block becomes a row group, and since blocks depend on the file's bytes alone, so do the bytes of the part. It is a
folder of its own until it is whole: whoever is killed while making one, or makes one that another has made, leaves
no half of it.
"""

from __future__ import annotations

import contextlib
import tempfile
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import xxhash

from pipeline.contract.catalog import Contract
from pipeline.contract.layout import LINE_COLUMN, ROWS_FOLDER, SUMMARIES_FOLDER, part_name
from pipeline.ingest.csv_lines import HashedFile
from pipeline.ingest.manifest import Manifest
from pipeline.parquet.blocks import Stretch, read_blocks, read_header, stretches
from pipeline.parquet.csv_rows import Block, ParsedBlock, parse_block
from pipeline.parquet.profile import PartProfile
from pipeline.parquet.rejected import RejectedOfPart, RejectedRows
from pipeline.parquet.series_order import SeriesOrder, SeriesState
from pipeline.parquet.workers import Workers
from trackstack.core.digest import digest_json
from trackstack.core.files import read_json, sealed, write_json
from trackstack.core.progress import progress

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


class PartFiles(NamedTuple):
    """Where a part lies within the folder of the output."""

    rows: str
    summary: str
    rejected: str
    """There is one only where a row was rejected."""

    @classmethod
    def of(cls, stretch: Stretch) -> PartFiles:
        """The files of a stretch's part."""
        return cls.named(part_name(stretch.file.name, stretch.number))

    @classmethod
    def named(cls, name: str) -> PartFiles:
        """The files of a part with this name."""
        summary = f"{SUMMARIES_FOLDER}/{name}"
        return cls(f"{ROWS_FOLDER}/{name}.parquet", f"{summary}.json", f"{summary}.rejected.csv")

    def below(self, folder: str) -> PartFiles:
        """The same files in a folder."""
        return PartFiles(*(f"{folder}/{name}" for name in self))


ALONE = PartFiles("rows.parquet", "summary.json", "rejected.csv")
"""Of a part in a folder of its own."""
HALF = "half-"
"""How the names of folders begin in which parts are being made."""


class Summary(NamedTuple):
    """What is known of a part without opening it."""

    made_from: str
    """The digest of all that decides its bytes, but for the code."""
    digest: str
    """XXH3-128 of the Parquet file."""
    rejected: int
    """How many rows."""
    rejected_digest: str
    """XXH3-128 of their report; empty where there is none."""
    profile: PartProfile
    series: SeriesState | None
    """Behind the part, of a piece of a file."""

    @classmethod
    def read(cls, path: Path, contract: Contract, todo: str = "type: dvc repro --force parquet") -> Summary:
        """What `write_part` wrote; UserError, which ends with `todo`, or ValueError where it is something else."""
        values = read_json(path, todo)
        try:
            profile = PartProfile.load(contract, values["profile"])
            series = values["series"] and SeriesState.from_json(values["series"])
            return cls(**(values | {"profile": profile, "series": series}))
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"{path}: a summary of another kind: {error!r}") from None

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        series = self.series and self.series.as_json()
        write_json(path, sealed(self._asdict() | {"profile": self.profile.dump(), "series": series}))


class PartWriter(NamedTuple):
    """Makes the parts of a dataset in a folder, each in one of its own that is called by what it was made from."""

    raw: Path
    folder: Path
    contract: Contract
    compression: str

    def made_from(self, stretch: Stretch, before: SeriesState | None = None) -> str:
        """The digest of what decides the bytes of a part, but for the code of the stage.

        Args:
            stretch: the lines; the name of their file changes nothing.
            before: the order of series behind the pieces before, where a row is judged by them.
        """
        piece = {
            "first_line": stretch.first_line,
            "header": read_header(self.raw, stretch, self.contract),
            "before": before and before.as_json(),
        }
        return digest_json(
            {
                "lines": stretch.xxh3,
                "piece": piece if stretch.is_piece else None,
                "contract": self.contract.model_dump(mode="json"),
                "compression": self.compression,
                "packages": {package.__name__: package.__version__ for package in (np, pl, pa)},
            }
        )

    def write(
        self,
        stretch: Stretch,
        workers: Workers,
        advance: Callable[[int], object] = lambda _: None,
        before: SeriesState | None = None,
    ) -> str:
        """Convert the lines of a stretch.

        Args:
            stretch: which lines.
            workers: parse its blocks.
            advance: is told the bytes that were read since it was told last.
            before: as for `made_from`.

        Returns:
            What the part was made from.

        Raises:
            UserError: the lines are not what `ingest` saw.
        """
        made_from = self.made_from(stretch, before)
        with tempfile.TemporaryDirectory(prefix=HALF, dir=self.folder, ignore_cleanup_errors=True) as half:
            part = Path(half, "part")
            part.mkdir()
            self._write(part, stretch, made_from, SeriesOrder(self.contract, before), workers, advance)
            try:
                part.rename(self.folder / made_from)
            except OSError:
                if not (self.folder / made_from).is_dir():  # else another worker made the same meanwhile
                    raise
        return made_from

    def _write(
        self,
        part: Path,
        stretch: Stretch,
        made_from: str,
        order: SeriesOrder,
        workers: Workers,
        advance: Callable[[int], object],
    ) -> None:
        rows_file, summary_file, rejected_file = (part / name for name in ALONE)
        schema = parquet_schema(self.contract)
        profile, rejected = PartProfile(self.contract), RejectedOfPart(rejected_file)
        with _open_writer(rows_file, schema, self.contract, self.compression) as writer:
            blocks = read_blocks(self.raw, stretch, self.contract, advance)
            for checked in checked_blocks(blocks, self.contract, order, workers):
                profile.add(checked.rows, checked.moments)
                rejected.add(checked.rejected)
                if not checked.rows.is_empty():
                    rows = checked.rows.with_columns(pl.Series(LINE_COLUMN, checked.lines))
                    writer.write_table(rows.to_arrow().cast(schema))
        summary = Summary(
            made_from=made_from,
            digest=quick_digest(rows_file),
            rejected=rejected.count,
            rejected_digest=quick_digest(rejected_file) if rejected.count else "",
            profile=profile,
            series=order.state() if stretch.is_piece else None,
        )
        summary.write(summary_file)


def quick_digest(path: Path, begin: int = 0, end: int | None = None) -> str:
    """XXH3-128 of a file, or of some of its bytes: ten times as fast as SHA-256, to see damage and changes."""
    digest = xxhash.xxh3_128()
    with HashedFile(path, digest, begin=begin, end=end) as file:
        file.finish()
    return digest.hexdigest()


def checked_blocks(
    blocks: Iterator[Block], contract: Contract, order: SeriesOrder, workers: Workers
) -> Iterator[ParsedBlock]:
    """The rows of each block that keep the contract and the order, and the others, with their reasons."""

    def parse(block: Block) -> tuple[Block, ParsedBlock]:
        return block, parse_block(block, contract)

    for block, parsed in workers.map_blocks(parse, blocks):
        yield order.check(parsed, block.file.name)


def accepted_rows(manifest: Manifest, raw: Path, rejected: RejectedRows) -> Iterator[pl.DataFrame]:
    """The good rows of each block, in one pass over all files that writes nothing; bad ones go to `rejected`."""
    contract, order = manifest.contract, SeriesOrder(manifest.contract)
    with Workers() as workers, counted_progress("checking rows", stretches(manifest)) as advance:
        for stretch in stretches(manifest):
            if stretch.number == 0:
                order = SeriesOrder(contract)
            blocks = read_blocks(raw, stretch, contract, advance)
            for checked in checked_blocks(blocks, contract, order, workers):
                rejected.add(checked.rejected)
                yield checked.rows


@contextlib.contextmanager
def counted_progress(what: str, work: list[Stretch]) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes the number of bytes that were read since it was called last, in any thread."""
    done, lock = 0, threading.Lock()
    with progress(what, sum(stretch.num_bytes() for stretch in work)) as show:

        def advance(num_bytes: int) -> None:
            nonlocal done
            with lock:
                done += num_bytes
                show(done)

        yield advance


def _open_writer(path: Path, schema: pa.Schema, contract: Contract, compression: str) -> pq.ParquetWriter:
    # Of measured values hardly two are equal, and looking for those that are takes longer than parsing.
    many_values = {*contract.amounts(), LINE_COLUMN}
    few_values = [field.name for field in schema if field.name not in many_values]
    encoding = {LINE_COLUMN: "DELTA_BINARY_PACKED"}
    return pq.ParquetWriter(
        path, schema, compression=compression, use_dictionary=few_values, column_encoding=encoding
    )


def parquet_schema(contract: Contract) -> pa.Schema:
    """Types in the Parquet file: ids as the catalog says, features by their kind, float32 amounts, int16 classes."""
    types: dict[str, Any] = {column: ID_TYPES[contract.id_type(column)] for column in contract.id_columns()}
    types |= {feature.name: FEATURE_TYPES[feature.kind] for feature in contract.features}
    types |= {contract.label: pa.int16()} if contract.label else dict.fromkeys(contract.target_names(), pa.float32())
    types[LINE_COLUMN] = pa.int64()
    may_be_null = {feature.name for feature in contract.features if feature.missing == "mean"}
    return pa.schema([pa.field(name, of, nullable=name in may_be_null) for name, of in types.items()])
