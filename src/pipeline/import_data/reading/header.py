"""What the first line of a table says, and whether it is a header."""

from __future__ import annotations

from pathlib import Path

from pipeline.import_data.contents.values import NUMBER
from trackstack import UserError


def refuse_no_header(file: Path, header: list[str], rows: list[list[str]]) -> None:
    """UserError for numbers in the place of names, a name that is there twice, or a header alone."""
    numbers = [column for column in header if NUMBER.fullmatch(column.replace(",", "."))]
    if len(numbers) > len(header) / 2 and not _is_index(header) and not _names_text(header, rows):
        raise UserError(
            f"{file}, line 1: {', '.join(header[:4])}: numbers where the names of columns are expected; if that "
            "line is a row: --no-header calls the columns column_1, column_2, ..."
        )
    if not rows:
        raise UserError(f"{file}: a header and no row")
    refuse_twice(file, header)


def refuse_twice(file: Path, header: list[str]) -> None:
    """UserError for a name that is there twice."""
    if twice := sorted({column for column in header if header.count(column) > 1}):
        raise UserError(f"{file}, line 1: a column is there twice: {', '.join(twice)}; rename one in that line")


def numbered(count: int) -> list[str]:
    """What columns are called where no line says so."""
    return [f"column_{number}" for number in range(1, count + 1)]


def empty_at_end(header: list[str], rows: list[list[str]]) -> int:
    """How many columns at the end have neither a name nor a value in any of these rows."""
    count = 0
    for number in range(len(header) - 1, 0, -1):
        if header[number].strip() or any(row[number].strip() for row in rows if len(row) == len(header)):
            break
        count += 1
    return count


def _names_text(header: list[str], rows: list[list[str]]) -> bool:
    """Whether a column has a name where all rows have something else, and others numbers for names: wavelengths."""
    named = [number for number, column in enumerate(header) if not NUMBER.fullmatch(column.replace(",", "."))]
    return len(set(header)) == len(header) and any(
        all(row[number].strip() != header[number] for row in rows if len(row) == len(header)) and len(rows) > 2
        for number in named
    )


def _is_index(header: list[str]) -> bool:
    """Columns that are called 0, 1, 2, ...: what a table without names is saved with."""
    numbers = [int(column) for column in header if column.isdecimal()]
    return len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))
