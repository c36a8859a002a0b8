"""Files that are no plain CSV: other formats, which are named with what to type, and lines before the header."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from pathlib import Path

from pipeline.import_data.contents.values import MISSING, NUMBER
from trackstack import UserError

PANDAS = "python -c \"import pandas; pandas.{read}('{file}').to_csv('{csv}', index=False)\""
COMMENTS = ("#", "%", "//")
SEPARATOR_LINE = re.compile(r'"?sep=(.)"?', re.IGNORECASE)
"""Excel's own first line."""


def refuse_other_format(file: Path, content: bytes) -> None:
    """UserError for a file that is known by its first bytes not to be text in columns, nor another table."""
    csv = file.with_suffix(".csv")
    pandas = [
        (b"\xd0\xcf\x11\xe0", "an old Excel workbook", "read_excel", "pandas xlrd"),
        (b"$FL2", "an SPSS file", "read_spss", "pandas pyreadstat"),
        (b"<stata_dta>", "a Stata file", "read_stata", "pandas"),
        (b"\x89HDF", "an HDF5 file", "read_hdf", "pandas tables"),
    ]
    for mark, what, read, packages in pandas:
        if content.startswith(mark):
            raise UserError(
                f"{file}: {what}, which is not read; type: pip install {packages} && "
                + PANDAS.format(read=read, file=file, csv=csv)
            )
    others = [(b"MATLAB", "a MATLAB file"), (b"RDX", "a file of R"), (b"RDA", "a file of R"), (b"X\n", "a file of R")]
    for mark, what in others:
        if content.startswith(mark):
            raise UserError(f"{file}: {what}, which is not read; save its table as CSV")


def lines_before_header(lines: list[str]) -> tuple[int, str | None]:
    """How many lines come before the header (comments, Excel's `sep=`), and the delimiter that they name.

    A line `#id,x` is the header where the next one is a row that is cut alike.
    """
    if lines and (match := SEPARATOR_LINE.fullmatch(lines[0].strip())):
        return 1, match[1]
    count = 0
    while count < len(lines) and (not lines[count].strip() or lines[count].startswith(COMMENTS)):
        count += 1
    comments = [line for line in lines[:count] if line.strip()]
    if count == len(lines):
        return 0, None
    if not comments:
        return int(_is_title(lines)), None
    for delimiter in ",;\t|":
        fields = lines[count].split(delimiter)
        is_header = len(fields) > 1 and len(comments[-1].split(delimiter)) == len(fields)
        if is_header and any(NUMBER.fullmatch(field.strip()) for field in fields):
            return lines.index(comments[-1]), None
    return count, None


def find_units(header: list[str], rows: list[list[str]]) -> dict[str, str]:
    """The units of columns where the first row holds them: no number where all later rows have numbers."""
    if len(rows) < 3:
        return {}
    first, *later = rows
    units = {}
    for name, unit, *values in zip(header, first, *later, strict=True):
        unit, numbers = unit.strip(), [value.strip() for value in values if value.strip()]
        if numbers and all(NUMBER.fullmatch(number.replace(",", ".")) for number in numbers):
            if NUMBER.fullmatch(unit.replace(",", ".")) or any(letter.isspace() for letter in unit):
                return {}
            if unit.lower() not in MISSING:
                units[name] = unit.strip("[]()")
        elif unit and unit in numbers:
            return {}  # a label or name as in other rows: a row with a fault
    return units


def differing_units(one: Mapping[str, str], other: Mapping[str, str]) -> list[str]:
    """The columns to which both give a unit, and not the same."""
    plain = {name: unicodedata.normalize("NFKC", unit) for name, unit in one.items()}
    return [
        name
        for name, unit in other.items()
        if unit and plain.get(name) and unicodedata.normalize("NFKC", unit) != plain[name]
    ]


def _is_title(lines: list[str]) -> bool:
    """Whether the first line is text alone, and those below it are cut alike."""
    if len(lines) < 2 or any(delimiter in lines[0].rstrip(",;\t| ") for delimiter in ",;\t|"):
        return False
    following = [line for line in lines[1:51] if line.strip()][:-1]
    for delimiter in ",;\t|":
        counts = {line.count(delimiter) for line in following}
        if len(following) > 2 and len(counts) == 1 and counts != {0}:
            return not any(NUMBER.fullmatch(field.strip()) for field in following[0].split(delimiter))
    return False
