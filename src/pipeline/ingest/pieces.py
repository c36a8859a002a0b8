"""Where a large file is cut: at fixed bytes, so that what is appended to it leaves the earlier pieces as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import xxhash
from pydantic import BaseModel

from pipeline.ingest.csv_lines import COMPRESSIONS, count_lines

PART_BYTES = 1 << 30
"""A plain file that is longer is cut: a piece has the lines that begin between two multiples of this."""


class Piece(BaseModel, frozen=True):
    """Some whole lines of a file that is cut; where no line begins in a stretch of the file, there is no piece."""

    begin: int
    """The byte with which its first line begins."""
    first_line: int
    """The number of that line, counted from 1, the header included."""
    xxh3: str
    """XXH3-128 of its lines."""


def is_cut(file: Path) -> bool:
    """Whether a file is so long that it is cut; a compressed one has no line that could be found."""
    return file.suffix not in COMPRESSIONS and file.stat().st_size > PART_BYTES


class PieceFinder:
    """Finds the pieces of a file while it is read; `csv_lines.HashedFile` takes it for one of its digests."""

    def __init__(self) -> None:
        self._pieces: list[Piece] = []
        self._line = 1
        self._place = 0
        self._begin(0)

    def _begin(self, place: int) -> None:
        self._start, self._first_line, self._digest = place, self._line, xxhash.xxh3_128()
        self._boundary = (place // PART_BYTES + 1) * PART_BYTES

    def update(self, content: Any) -> None:
        """Take the bytes that come next."""
        content = bytes(content)
        while content:
            # The next line begins behind this line end: at the boundary, or later.
            search = max(0, self._boundary - 1 - self._place)
            end = content.find(b"\n", search) + 1 if search < len(content) else 0
            taken = content[: end or len(content)]
            self._digest.update(taken)
            self._line += count_lines(taken)
            self._place += len(taken)
            content = content[len(taken) :]
            if end:
                self._finish()
                self._begin(self._place)

    def _finish(self) -> None:
        piece = Piece(begin=self._start, first_line=self._first_line, xxh3=self._digest.hexdigest())
        self._pieces.append(piece)

    def pieces(self) -> tuple[Piece, ...]:
        """Of the file, which was read to its end; none where it is one piece."""
        if self._place > self._start:
            self._finish()
        return tuple(self._pieces) if len(self._pieces) > 1 else ()
