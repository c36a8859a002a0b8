"""From the columns of the data to the channels of a model: a number is one, a category one for each of its values.

Features are the plain values of a catalog entry, as the tensor cache and a saved model carry them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

SECONDS_OF_DAY = 86400
MONDAY = 3
"""The first of January 1970 was a Thursday."""

Feature = Mapping[str, Any]


def channel_names(features: Sequence[Feature]) -> list[str]:
    """The channels in their order: `size`, `color=red`, `stamp.hour`."""
    names = []
    for feature in features:
        name, kind = feature["name"], feature.get("kind", "number")
        if kind == "category":
            names += [f"{name}={category}" for category in feature["categories"]]
        else:
            names += [f"{name}.{part}" for part in feature["parts"]] if kind == "time" else [name]
    return names


def encode(columns: Mapping[str, np.ndarray], features: Sequence[Feature]) -> np.ndarray:
    """Rows float32 [N, C], NaN where a value is missing.

    Args:
        columns: equally long, by the features' names: numbers; categories, of which any other value is missing; times
            in float64 seconds since 1970.
    """
    channels: list[np.ndarray] = []
    for feature in features:
        values, kind = columns[feature["name"]], feature.get("kind", "number")
        if kind == "category":
            channels += _one_of(values, feature["categories"])
        elif kind == "time":
            channels += [_part(values, part) for part in feature["parts"]]
        else:
            channels.append(np.asarray(values, np.float32))
    return np.column_stack(channels)


def _one_of(values: np.ndarray, categories: Sequence[str]) -> list[np.ndarray]:
    """float32 [N] per category: 1 in its rows, 0 in those of others."""
    numbers = {category: number for number, category in enumerate(categories)}
    number_N = np.array([numbers.get(value, -1) for value in values.tolist()], np.int64)
    missing = np.where(number_N < 0, np.float32(np.nan), np.float32(0))
    return [missing + (number_N == number).astype(np.float32) for number in range(len(categories))]


def _part(seconds: np.ndarray, part: str) -> np.ndarray:
    """float32 [N]: one part of times, in hours, days of the week from Monday, months from 1, days since 1970."""
    seconds = np.asarray(seconds, np.float64)
    days = np.floor(seconds / SECONDS_OF_DAY)
    if part == "hour":
        value = (seconds - days * SECONDS_OF_DAY) / 3600
    elif part == "weekday":
        value = (days + MONDAY) % 7
    elif part == "month":
        known = np.isfinite(days)
        months = np.where(known, days, 0).astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
        value = np.where(known, months % 12 + 1.0, np.nan)
    else:
        value = seconds / SECONDS_OF_DAY
    return value.astype(np.float32)
