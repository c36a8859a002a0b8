"""How values are written: decimal marks, separators of thousands, words for missing values, true and false.

`1,234` is 1234 to one person and 1.234 to another. What else stands in the file may settle it; where nothing does, it
is refused with the option that does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, NamedTuple

import polars as pl

if TYPE_CHECKING:
    from pipeline.import_data.reading.dialect import Dialect, Sample
    from pipeline.import_data.survey import ColumnSurvey, Example

MISSING = (
    *("", "nan", "na", "n/a", "null", "none", "?", "-", "--", "."),
    *("n.a.", "<na>", "nat", "-nan", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"),  # of pandas, R and C
    *("#n/a", "#na", "#div/0!", "#value!", "#ref!", "#name?", "#num!", "#null!"),  # of Excel
)
"""What stands for a missing value, whatever its case; in a feature the pipeline itself takes the first two."""
NUMBER = re.compile(r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?")
GROUPED = re.compile(r"[-+]?\d{1,3}([,.\u0027\u2019 \u00a0\u202f]\d{3})+([.,]\d+)?")
"""A number with something between its thousands."""
THOUSANDS = {",": ",", ".": ".", "'": "'\u2019", " ": " \u00a0\u202f"}
"""What may stand between groups of three digits: as an option, and the letters that it stands for."""
KINDS = ("thousands", "either", "decimal")
DELIMITERS_BESIDE_COMMAS = ";\t"
"""Where people write decimal commas, values are separated by these: a point may then be for thousands."""


def number_text(column: str, dialect: Dialect) -> pl.Expr:
    """A column's text as the pipeline takes numbers: a decimal point, no separators, 1 for true and 0 for false."""
    text = pl.col(column).str.strip_chars()
    if dialect.thousands:
        separators = f"[{re.escape(THOUSANDS[dialect.thousands])}]"
        plain = text.str.replace_all(separators, "")
        # Anywhere else a separator makes the text no number.
        text = pl.when(text.str.contains(_grouped(dialect.thousands))).then(plain)
        text = text.otherwise(pl.col(column).str.strip_chars().str.replace_all(separators, "_"))
    text = text.str.replace(",", ".", literal=True) if dialect.decimal == "," else text
    lower = text.str.to_lowercase()
    return pl.when(lower == "true").then(pl.lit("1")).when(lower == "false").then(pl.lit("0")).otherwise(text)


class MissingWords(NamedTuple):
    """What stands for a missing value, in small letters."""

    numbers: tuple[str, ...]
    """In features and time."""
    names: tuple[str, ...]
    """In label, group and series."""

    @classmethod
    def of(cls, more: Iterable[str] = (), kept: Iterable[str] = ()) -> MissingWords:
        """The usual words and `more`; those of `kept` are names all the same."""
        words = tuple(dict.fromkeys((*MISSING, *(word.strip().lower() for word in more))))
        names = {word.strip().lower() for word in kept} - {""}
        return cls(words, tuple(word for word in words if word not in names))


def looks_like_number(value: str) -> bool:
    """Whether a value is a number, whatever its marks mean."""
    return bool(NUMBER.fullmatch(value.replace(",", ".")) or GROUPED.fullmatch(value))


def is_missing(column: str, words: tuple[str, ...]) -> pl.Expr:
    """Whether a field stands for a missing value."""
    return pl.col(column).str.strip_chars().str.to_lowercase().is_in(words)


def guess_decimal(rows: list[list[str]]) -> str:
    """The decimal mark of more columns; values that may as well have thousands say nothing."""
    columns = [[value.strip() for value in column] for column in zip(*rows, strict=True)]
    counts = {mark: sum(any(_is_decimal(value, mark) for value in column) for column in columns) for mark in ",."}
    return "," if counts[","] > counts["."] else "."


def find_marks(text: pl.Series) -> dict[tuple[str, str], str]:
    """For each mark in numbers, and what it may be there (`either`, `thousands`, `decimal`): the first value.

    Args:
        text: without spaces around the values.
    """
    found = {}
    for mark in THOUSANDS:
        letters = f"[{re.escape(THOUSANDS[mark])}]"
        rest = text.filter(text.str.contains(letters))
        for kind, pattern in (
            ("either", _either(mark)),
            ("thousands", _grouped(mark)),
            ("decimal", rf"^[-+]?\d*{letters}\d*(?:[eE][-+]?\d+)?$"),
        ):
            if rest.is_empty() or (kind == "decimal" and mark not in ",."):
                continue
            fits = rest.str.contains(pattern) & rest.str.contains(r"\d")
            if fits.any():
                found[mark, kind] = str(rest.filter(fits)[0])
                rest = rest.filter(~fits)
    return found


def mark_problems(columns: Mapping[str, ColumnSurvey], sample: Sample) -> dict[str, str]:
    """For each column of numbers with two readings, or with separators that nothing was said of: a line.

    Args:
        columns: features and time.
        sample: of the first file.
    """
    if sample.dialect.thousands in (",", "."):
        return {}
    decimal = {mark for mark in ",." if any((mark, "decimal") in column.marks for column in columns.values())}
    problems = {}
    for name, column in columns.items():
        for mark in (mark for mark in THOUSANDS if mark != sample.dialect.thousands):
            marks = {kind: column.marks[mark, kind] for kind in KINDS if (mark, kind) in column.marks}
            if marks and (reason := _fault(mark, marks, column, sample, decimal)):
                example = marks.get(reason[0]) or next(iter(marks.values()))
                problems[name] = f"{example.place()}: {name} is {example.value!r}{reason[1]}"
                break
    return problems


def _fault(
    mark: str, marks: dict[str, Example], column: ColumnSurvey, sample: Sample, decimal: set[str]
) -> tuple[str, str] | None:
    """Which kind of value is at fault, and why; None when the numbers of a column have one reading each."""
    ask = "--thousands " + (f"'{mark}'" if mark != "'" else '"\'"')
    separated = "thousands" if "thousands" in marks else "either" if mark not in ",." else ""
    if separated and "decimal" in marks:
        return separated, f"; beside {marks['decimal'].value!r} it cannot be read: correct the file"
    if separated:
        return separated, f", which has separators of thousands; type: {ask}"
    if mark == sample.dialect.decimal:
        commas = mark == "," and sample.dialect.delimiter == ","
        settled = sample.decimal_given or "decimal" in marks or (mark in decimal and not commas)
        if "either" not in marks or settled or (mark == "." and not _beside_commas(sample)):
            return None
    elif mark == ".":
        if "either" not in marks or ("decimal" in marks and not any(found == "," for found, _ in column.marks)):
            return None
        return "either", (
            f" beside decimal commas, which has two readings; type: {ask} (if it is {_whole(marks)}), "
            "or write decimal commas there, too"
        )
    if "decimal" in marks:
        return "decimal", f"; if the comma is the decimal mark, type: --decimal '{mark}'"
    return "either", f", which has two readings; type: {ask} (if it is {_whole(marks)}) or --decimal '{mark}'"


def _whole(marks: dict[str, Example]) -> str:
    return re.sub(r"[.,]", "", marks["either"].value)


def _beside_commas(sample: Sample) -> bool:
    return sample.dialect.delimiter in DELIMITERS_BESIDE_COMMAS


def _is_decimal(value: str, mark: str) -> bool:
    return bool(mark in value and NUMBER.fullmatch(value.replace(mark, ".")) and not re.match(_either(mark), value))


def _either(mark: str) -> str:
    """A number of three digits after the only mark: of thousands or, where that is no other mark, a fraction."""
    return rf"^[-+]?[1-9]\d{{0,2}}[{re.escape(THOUSANDS[mark])}]\d{{3}}$"


def _grouped(mark: str) -> str:
    """A number whose digits are in groups of three."""
    decimals = {",": r"\.", ".": ","}.get(mark, ".,")
    return rf"^[-+]?[1-9]\d{{0,2}}(?:[{re.escape(THOUSANDS[mark])}]\d{{3}})+(?:[{decimals}]\d*)?$"
