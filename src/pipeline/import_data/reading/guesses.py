"""What the lines of a file let guess: the letters' encoding, and what stands between values."""

from __future__ import annotations

import codecs
import csv
from pathlib import Path

from pipeline.import_data.contents.values import NUMBER
from trackstack import UserError

DELIMITERS = ",;\t|"
BYTE_ORDER_MARKS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}


def guess_encoding(content: bytes, file: Path) -> str:
    """By its byte order mark, or what its bytes can be; UserError where they can be neither."""
    for mark, encoding in BYTE_ORDER_MARKS.items():
        if content.startswith(mark):
            return encoding
    for encoding in ("utf-8", "cp1252"):
        try:
            codecs.getincrementaldecoder(encoding)().decode(content)
        except UnicodeDecodeError:
            continue
        return encoding
    raise UserError(f"{file}: neither UTF-8 nor Windows-1252; say what it is: --encoding NAME (or it is no CSV file)")


def decode(content: bytes, encoding: str, file: Path) -> str:
    """The text of a file's beginning, whose last letter may be cut off."""
    try:
        return codecs.getincrementaldecoder(encoding)().decode(content)
    except (LookupError, UnicodeDecodeError):
        raise UserError(f"{file}: not {encoding}; say another --encoding") from None


def guess_delimiter(lines: list[str], file: Path) -> str:
    """The one that cuts most rows into as many fields as the header; with several, into the most."""
    best = (0.0, 1, "")
    for delimiter in DELIMITERS:
        try:
            header, *rows = (len(fields) for fields in csv.reader(lines[:1000], delimiter=delimiter, strict=True))
        except csv.Error:
            continue
        if header > 1 and rows:
            best = max(best, (sum(row == header for row in rows) / len(rows), header, delimiter))
    share, _, delimiter = best
    if share > 0.5:
        return delimiter
    if len(lines) > 1 and all(NUMBER.fullmatch(line.strip()) for line in lines[1:]):
        return ","  # one column
    if len(lines) == 1:
        raise UserError(f"{file}: a header and no row")
    if _cut_by_spaces(lines):
        return " "
    raise UserError(
        f"{file}: not a CSV file: no comma, semicolon, tab or bar cuts its lines alike; what does, say: "
        "--delimiter 'LETTER'; lines before the header: --skip N"
    )


def _cut_by_spaces(lines: list[str]) -> bool:
    counts = {line.strip().count(" ") for line in lines[:100]}
    return len(counts) == 1 and counts != {0}


def cut_by_runs_of_spaces(lines: list[str]) -> bool:
    """Whether all lines have as many words, and several spaces stand somewhere between them."""
    counts = {len(line.split()) for line in lines}
    return len(lines) > 1 and len(counts) == 1 and counts != {1} and "  " in " ".join(lines) and "," not in lines[0]
