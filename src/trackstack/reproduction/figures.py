"""Figures that are the same within a tolerance: in the record of a run, and in files that hold numbers as text."""

from __future__ import annotations

import csv
import io
import json
import math
import re
from pathlib import PurePosixPath
from typing import Any

import yaml

TABLES = {".csv": ",", ".tsv": "\t"}
NUMBER = re.compile(
    r"[+-]?(((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)(e[+-]?[0-9]{1,3})?|nan|inf|infinity)", re.IGNORECASE
)
"""How a cell of a table has a number: `007`, `1_000` and `12e45678` are names."""


def largest_difference(expected: Any, found: Any) -> float | None:
    """The largest relative difference of two values of the same shape; None where anything but numbers differs.

    Args:
        expected: numbers, texts, None, and lists and dictionaries of them. NaN equals NaN.
    """
    if _is_number(expected) and _is_number(found):
        if expected == found:
            return 0.0
        try:
            expected, found = float(expected), float(found)
        except OverflowError:  # a whole number of more than 308 digits
            return math.inf
        if math.isnan(expected) and math.isnan(found):
            return 0.0
        difference = abs(expected - found) / max(abs(expected), abs(found))
        return difference if math.isfinite(difference) else math.inf
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return _largest([largest_difference(expected[key], found[key]) for key in expected])
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return _largest([largest_difference(a, b) for a, b in zip(expected, found, strict=True)])
    return 0.0 if type(expected) is type(found) and expected == found else None


def difference_of_files(name: str, expected: bytes, found: bytes) -> float | None:
    """As `largest_difference`, of the content of two files, and infinite where anything but numbers differs.

    None where the name says no format of numbers, or the content is none.
    """
    try:
        before, now = _content(name, expected), _content(name, found)
    except (ValueError, yaml.YAMLError, csv.Error, RecursionError):
        return None
    difference = largest_difference(before, now)
    return math.inf if difference is None else difference


def _content(name: str, data: bytes) -> Any:
    suffix = PurePosixPath(name).suffix.lower()
    if suffix == ".json":
        return json.loads(data)
    if suffix in (".yaml", ".yml"):
        return yaml.safe_load(data)
    if suffix in TABLES:
        return [
            [_number(cell) for cell in row]
            for row in csv.reader(io.StringIO(data.decode()), delimiter=TABLES[suffix])
        ]
    raise ValueError(f"{name}: no file of figures")


def _number(cell: str) -> float | str:
    return float(cell) if NUMBER.fullmatch(cell.strip()) else cell


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _largest(differences: list[float | None]) -> float | None:
    known = [difference for difference in differences if difference is not None]
    return max(known, default=0.0) if len(known) == len(differences) else None
