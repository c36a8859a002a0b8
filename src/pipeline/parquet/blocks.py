"""A raw file, or a piece of a large one, cut into blocks of whole lines: what is parsed at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import xxhash

from pipeline.contract.catalog import Contract
from pipeline.ingest.csv_lines import count_lines, open_csv, read_line
from pipeline.ingest.manifest import Manifest, RawFile, check_header
from pipeline.parquet.csv_rows import Block, first_line_for_polars
from trackstack import UserError

BLOCK_BYTES = 8 << 20
BLOCK_LINES = 1 << 18  # so that a block of empty lines does not become millions of rejected rows at once


class Stretch(NamedTuple):
    """The lines of a raw file that become one part: all, or a piece of them."""

    file: RawFile
    number: int
    """Of the part among those of its file."""
    begin: int
    end: int | None
    """Bytes of the file; None is its end."""
    first_line: int
    xxh3: str

    @property
    def is_piece(self) -> bool:
        """Whether the file is cut."""
        return bool(self.file.pieces)

    def num_bytes(self) -> int:
        """How many bytes there are to read."""
        return (self.file.bytes if self.end is None else self.end) - self.begin


def stretches_of(file: RawFile) -> list[Stretch]:
    """The parts of a raw file, in order."""
    if not file.pieces:
        return [Stretch(file, 0, 0, None, 1, file.xxh3)]
    ends = [*(piece.begin for piece in file.pieces[1:]), None]
    return [
        Stretch(file, number, piece.begin, end, piece.first_line, piece.xxh3)
        for number, (piece, end) in enumerate(zip(file.pieces, ends, strict=True))
    ]


def stretches(manifest: Manifest) -> list[Stretch]:
    """The parts of a dataset, in order."""
    return [stretch for file in manifest.files for stretch in stretches_of(file)]


def read_header(raw: Path, stretch: Stretch, contract: Contract) -> list[str]:
    """The columns of a stretch's file."""
    path = raw / stretch.file.name
    try:
        with open_csv(path) as (stream, _):
            return check_header(path, read_line(stream), contract)
    except FileNotFoundError:
        raise file_changed(path) from None


def read_blocks(
    raw: Path, stretch: Stretch, contract: Contract, advance: Callable[[int], object] = lambda _: None
) -> Iterator[Block]:
    """Cut a stretch into blocks, in order; UserError when it is not what `ingest` saw.

    Args:
        raw: the folder of the file.
        stretch: which lines.
        contract: what the header must be.
        advance: is told the bytes that were read since it was told last.
    """
    path = raw / stretch.file.name
    header = read_header(raw, stretch, contract)
    try:
        xxh3, told = xxhash.xxh3_128(), 0
        with open_csv(path, xxh3, begin=stretch.begin, end=stretch.end) as (stream, on_disk):
            if stretch.first_line == 1:
                read_line(stream)
            for block in _cut(path, stream, header, max(stretch.first_line, 2)):
                yield block
                advance(on_disk.num_bytes - told)
                told = on_disk.num_bytes
            on_disk.finish()
            if xxh3.hexdigest() != stretch.xxh3:
                raise file_changed(path)
    except FileNotFoundError:
        raise file_changed(path) from None


def _cut(path: Path, stream: BinaryIO, header: list[str], line: int) -> Iterator[Block]:
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


def file_changed(path: Path) -> UserError:
    """What a raw file is told that is not the one in the manifest."""
    return UserError(f"{path}: changed since ingest looked at it; run dvc repro again")
