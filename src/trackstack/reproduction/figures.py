"""Figures that are the same within a tolerance: in the record of a run, and in files that hold numbers as text."""

from __future__ import annotations

import csv
import io
import json
import math
from pathlib import PurePosixPath
from typing import Any

import yaml

TABLES = {".csv": ",", ".tsv": "\t"}


def largest_difference(expected: Any, found: Any) -> float | None:
    """The largest relative difference of two values of the same shape; None where anything but numbers differs.

    Args:
        expected: numbers, texts, None, and lists and dictionaries of them. NaN equals NaN.
    """
    if _is_number(expected) and _is_number(found):
        if expected == found or (math.isnan(expected) and math.isnan(found)):
            return 0.0
        difference = abs(expected - found) / max(abs(expected), abs(found))
        return difference if math.isfinite(difference) else math.inf
    if isinstance(expected, dict) and isinstance(found, dict) and expected.keys() == found.keys():
        return _largest([largest_difference(expected[key], found[key]) for key in expected])
    if isinstance(expected, list) and isinstance(found, list) and len(expected) == len(found):
        return _largest([largest_difference(a, b) for a, b in zip(expected, found, strict=True)])
    return 0.0 if type(expected) is type(found) and expected == found else None


def difference_of_files(name: str, expected: bytes, found: bytes) -> float | None:
    """As `largest_difference`, of the content of two files; None, too, where the name says no format of numbers."""
    try:
        return largest_difference(_content(name, expected), _content(name, found))
    except (ValueError, yaml.YAMLError, csv.Error):
        return None


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
    try:
        return float(cell)
    except ValueError:
        return cell


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _largest(differences: list[float | None]) -> float | None:
    known = [difference for difference in differences if difference is not None]
    return max(known, default=0.0) if len(known) == len(differences) else None
