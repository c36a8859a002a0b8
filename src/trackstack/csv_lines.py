"""What a line of a CSV file is, to `ingest` and `parquet` alike.

A line ends with LF or CRLF and nowhere else, not even within quotes: files can then be cut, counted and hashed
without parsing them. Its fields are what Python's `csv` module finds in strict mode.
"""

from __future__ import annotations

import csv
import re
from typing import BinaryIO

import numpy as np

MAX_LINE_BYTES = 1 << 20
"""Without the line's end. A file without line ends must not end up in memory as a whole."""

_QUOTED_FIELD = re.compile(rb'(?:^|(?<=[,\n]))"[^"\n]*"(?=[,\n]|\Z)')


class LineError(Exception):
    """Why a line has no fields."""


def read_line(stream: BinaryIO) -> bytes:
    """The next line with its end, or of an overlong one just enough to see that it is."""
    return stream.readline(MAX_LINE_BYTES + len(b"\r\n"))


def with_unix_ends(content: bytes) -> bytes:
    """The same lines, ended by LF; a CR that is still there ends no line."""
    return content.replace(b"\r\n", b"\n")


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
    limit = min(csv.field_size_limit(), MAX_LINE_BYTES)
    if len(content) <= limit:
        return True
    ends = np.flatnonzero(np.frombuffer(content, np.uint8) == ord("\n"))
    lengths = np.diff(ends, prepend=-1, append=len(content)) - 1
    return bool(lengths.max() <= limit)
