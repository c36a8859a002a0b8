"""What a CSV file and a line of it are, to `ingest` and `parquet` alike.

A line ends with LF or CRLF and nowhere else, not even within quotes: files can then be cut, counted and hashed
without parsing them. Its fields are what Python's `csv` module finds in strict mode. A file may be compressed:
`.gz` or `.zst`.
"""

from __future__ import annotations

import contextlib
import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pyarrow as pa

from trackstack import UserError

MAX_LINE_BYTES = 1 << 20
"""Without the line's end. A file without line ends must not end up in memory as a whole."""
CHUNK_BYTES = 1 << 20
"""How much of a file is read at a time."""
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}

_BUFFER_BYTES = 1 << 20

_QUOTED_FIELD = re.compile(rb'(?:^|(?<=[,\n]))"[^"\n]*"(?=[,\n]|\Z)')


class LineError(Exception):
    """Why a line has no fields."""


class HashedFile(io.RawIOBase):
    """A file of bytes that keeps the digest and the number of what was read from it.

    Args:
        path: the file.
        digests: one or more of `hashlib`'s and `xxhash`'s objects.
        begin: the byte with which to begin.
        end: the byte before which to end; None to read to the file's end.
    """

    def __init__(self, path: Path, *digests: Any, begin: int = 0, end: int | None = None):
        self._file = path.open("rb", buffering=0)
        self._file.seek(begin)
        self._digests = digests
        self._left = None if end is None else end - begin
        self.num_bytes = 0

    def readable(self) -> bool:
        """Files are only read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read what comes next, in order: there is no seeking."""
        if self._left is not None:
            buffer = memoryview(buffer)[: self._left - self.num_bytes]
        count = self._file.readinto(buffer)
        for digest in self._digests:
            digest.update(memoryview(buffer)[:count])
        self.num_bytes += count
        return count

    def finish(self) -> None:
        """Read what is left, so that the digests are those of the whole file."""
        while self.read(_BUFFER_BYTES):
            pass

    def close(self) -> None:
        """Close the file below."""
        self._file.close()
        super().close()


@contextlib.contextmanager
def open_csv(
    path: Path, *digests: Any, begin: int = 0, end: int | None = None
) -> Iterator[tuple[BinaryIO, HashedFile]]:
    """The lines of a CSV file, decompressed, and the file as it lies on disk, whose digests are taken meanwhile.

    Of a plain file, `begin` and `end` choose some of its bytes.

    Raises:
        UserError: it cannot be read, or is not compressed as its name says. A missing file is FileNotFoundError.
    """
    compression = COMPRESSIONS.get(path.suffix)
    try:
        with HashedFile(path, *digests, begin=begin, end=end) as file:
            stream = pa.CompressedInputStream(pa.PythonFile(file, "r"), compression) if compression else file
            yield io.BufferedReader(stream, _BUFFER_BYTES), file
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror or error}") from None


def count_lines(content: bytes) -> int:
    """The number of line ends; in pieces, which stay in the processor's cache."""
    letters = np.frombuffer(content, np.uint8)
    pieces = range(0, len(letters), 1 << 16)
    return sum(int(np.count_nonzero(letters[begin : begin + (1 << 16)] == ord("\n"))) for begin in pieces)


def count_rows(stream: BinaryIO, header: bytes = b"") -> int:
    """The lines after the header's, read to the end; the last may lack its end.

    Args:
        header: what of the stream was read already: the header's line, or nothing.
    """
    lines, last = header.count(b"\n"), header
    while chunk := stream.read(CHUNK_BYTES):
        lines, last = lines + count_lines(chunk), chunk
    return lines - 1 + (not last.endswith(b"\n"))


def read_line(stream: BinaryIO) -> bytes:
    """The next line with its end, or of an overlong one just enough to see that it is."""
    return stream.readline(MAX_LINE_BYTES + len(b"\r\n"))


def with_unix_ends(content: bytes) -> bytes:
    """The same lines, ended by LF; a CR that is still there ends no line."""
    return content.replace(b"\r\n", b"\n") if b"\r" in content else content  # to look for one byte is quick


def split_fields(line: bytes) -> list[str]:
    """The fields of a line without its end; LineError when it breaks the rules."""
    if b"\r" in line[:MAX_LINE_BYTES]:
        raise LineError("a CR alone does not end a line; save the file with LF or CRLF")
    if len(line) > MAX_LINE_BYTES:
        raise LineError(f"longer than {MAX_LINE_BYTES:,} bytes")
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LineError(f"byte {error.start + 1} is not UTF-8; save the file as UTF-8") from None
    if not text.strip():
        raise LineError("an empty line")
    if '"' not in text and len(text) <= csv.field_size_limit():
        return text.split(",")
    try:
        return next(csv.reader([text], strict=True))
    except csv.Error as error:
        raise LineError("a quote is not closed" if "end of data" in str(error) else f"not CSV: {error}") from None


def join_fields(fields: list[str]) -> bytes:
    """A line, without its end, that every CSV parser reads as these fields."""
    quoted = ['"' + field.replace('"', '""') + '"' if '"' in field or "," in field else field for field in fields]
    return ",".join(quoted).encode()


def is_plain(content: bytes) -> bool:
    """Whether a fast parser cannot disagree with `split_fields` on any of these lines: stray CRs, quotes, length."""
    if b"\r" in content:
        return False
    if b'"' in content and b'"' in _QUOTED_FIELD.sub(b"", content):
        return False
    return not _may_be_long(content) or bool(line_lengths(content).max() <= longest_field())


def line_lengths(content: bytes) -> np.ndarray:
    """The number of bytes of each line, without its LF."""
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
    if not content.endswith(b"\n"):
        ends = np.append(ends, len(content))
    return np.diff(ends, prepend=-1) - 1


def longest_field() -> int:
    """A line up to here has no field that the `csv` module refuses for its length."""
    return min(csv.field_size_limit(), MAX_LINE_BYTES)


def _may_be_long(content: bytes) -> bool:
    """False when no line can be too long: every stretch of half that length has a line end."""
    half = max(longest_field() // 2, 1)
    whole = len(content) - len(content) % half
    return len(content) > longest_field() and any(
        content.find(b"\n", begin, begin + half) < 0 for begin in range(0, whole, half)
    )
