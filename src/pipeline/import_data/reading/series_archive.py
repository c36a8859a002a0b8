"""The .ts files of the time-series archives (sktime, aeon): a line per case, its dimensions apart by colons."""

from __future__ import annotations

import re
from itertools import zip_longest
from pathlib import Path

import polars as pl

SERIES_COLUMN, LABEL_COLUMN, TIME_COLUMN = "recording", "label", "time"
COLON = re.compile(r":(?![^()]*\))")
"""Not those of a time of day: a step with a time stamp stands in parentheses."""
STAMPED = re.compile(r"\(([^(),]+),([^(),]*)\)")


def read_series_archive(file: Path) -> pl.DataFrame:
    """A row per time step: the case as a recording, a column for each dimension, the label where cases have one.

    Cases may differ in length; time stamps become the column `time`. ValueError names the line that is at fault.
    """
    tags: dict[str, str] = {}
    columns: dict[str, list[str]] = {}
    number, in_data = 0, False
    for line_number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        text = line.strip()
        if not text or text.startswith("#"):
            continue
        if not in_data:
            tag, _, value = text.partition(" ")
            tags[tag.lower()] = value.strip().lower()
            in_data = tag.lower() == "@data"
            continue
        number += 1
        parts = COLON.split(text)
        label = parts.pop().strip() if _has_label(tags) else None
        if not parts:
            raise ValueError(f"line {line_number}: no series before the label")
        times, dimensions = _series(parts, line_number, stamped=tags.get("@timestamps") == "true")
        steps = list(zip_longest(*dimensions, fillvalue=""))
        values = dict(zip(_names(len(parts)), zip(*steps, strict=True), strict=True))
        if times is not None:
            values[TIME_COLUMN] = times
        values[SERIES_COLUMN] = (f"{file.stem}_{number}",) * len(steps)
        if label is not None:
            values[LABEL_COLUMN] = (label,) * len(steps)
        if columns and set(columns) != set(values):
            raise ValueError(f"line {line_number}: {len(parts)} dimensions, unlike the lines before")
        for name, column in values.items():
            columns.setdefault(name, []).extend(map(str.strip, column))
    if not number:
        raise ValueError("no case after @data")
    return pl.DataFrame(columns)


def _series(parts: list[str], line_number: int, *, stamped: bool) -> tuple[tuple[str, ...] | None, list[list[str]]]:
    """The time stamps, which all dimensions share, and the values of each dimension."""
    if not stamped:
        return None, [part.split(",") for part in parts]
    pairs = [STAMPED.findall(part) for part in parts]
    if any(STAMPED.sub("", part).strip(", ") or not found for part, found in zip(parts, pairs, strict=True)):
        raise ValueError(f"line {line_number}: expected (time stamp,value),(time stamp,value) in each dimension")
    times = {tuple(time.strip() for time, _ in found) for found in pairs}
    if len(times) > 1:
        raise ValueError(f"line {line_number}: dimensions with other time stamps; expected the same for all")
    return times.pop(), [[value for _, value in found] for found in pairs]


def _has_label(tags: dict[str, str]) -> bool:
    return any(tags.get(tag, "false").startswith("true") for tag in ("@classlabel", "@targetlabel"))


def _names(count: int) -> list[str]:
    return ["x"] if count == 1 else [f"x{number}" for number in range(1, count + 1)]
