"""The .ts files of the time-series archives (sktime, aeon): a line per case, its dimensions apart by colons."""

from __future__ import annotations

from itertools import zip_longest
from pathlib import Path

import polars as pl

SERIES_COLUMN, LABEL_COLUMN = "recording", "label"


def read_series_archive(file: Path) -> pl.DataFrame:
    """A row per time step: the case as a recording, a column for each dimension, the label where cases have one.

    Cases may differ in length. ValueError names the line that is not as expected.
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
            if in_data and tags.get("@timestamps") == "true":
                raise ValueError("@timeStamps true; expected series without time stamps")
            continue
        number += 1
        parts = text.split(":")
        label = parts.pop().strip() if _has_label(tags) else None
        if not parts:
            raise ValueError(f"line {line_number}: no series before the label")
        steps = list(zip_longest(*(part.split(",") for part in parts), fillvalue=""))
        values = dict(zip(_names(len(parts)), zip(*steps, strict=True), strict=True))
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


def _has_label(tags: dict[str, str]) -> bool:
    return any(tags.get(tag, "false").startswith("true") for tag in ("@classlabel", "@targetlabel"))


def _names(count: int) -> list[str]:
    return ["x"] if count == 1 else [f"x{number}" for number in range(1, count + 1)]
