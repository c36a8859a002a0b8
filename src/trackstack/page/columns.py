"""Parameters and figures as columns: what drawings and the table are made from."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from typing import Any, NamedTuple

import numpy as np

from trackstack.page.runs import PageRun
from trackstack.records.choosing.settings import comparable
from trackstack.system.redaction import redact_uris

MOST_LEVELS = 30
"""Texts of a parameter: with more of them, such as a path for every run, there is nothing to see in a drawing."""
FAR = 50
"""An axis is logarithmic when the largest value is so many times the least."""
CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ue000]")
"""What is no character of a page, and what would turn round the text after it."""
USUAL = ("val_accuracy", "val_r2")
STEP_OF_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


class Column(NamedTuple):
    """A parameter in which runs differ."""

    name: str
    values: list[float | str | None]
    """A number or a text for each run; None where it has none, or no finite one."""
    is_number: bool
    is_log: bool
    places: list[float | None]
    """Where each value lies on its axis, from 0 to 1; empty when it is not to be drawn."""
    ticks: list[tuple[float, str]]
    """Places with what to write there."""
    odd: dict[int, str]
    """What cannot be drawn, NaN or an infinity, by the number of the run."""

    @property
    def numbers(self) -> list[float | None]:
        """The values, of which texts are none."""
        return [value if isinstance(value, float) else None for value in self.values]

    @property
    def is_drawn(self) -> bool:
        """Whether a drawing of it shows something."""
        return bool(self.places)


def text_of(value: Any) -> str:
    """A value as YAML and JSON write it; nothing where there is none."""
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return clean(text)


def clean(text: str) -> str:
    """Somebody's text without passwords in addresses, and without what is no character of a page."""
    text = redact_uris(text).encode("utf-8", "backslashreplace").decode()
    return CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def differing_params(runs: list[PageRun]) -> list[Column]:
    """The parameters that are not the same in all of the runs, in their order."""
    names = dict.fromkeys(name for run in runs for name in run.params)
    columns = []
    for name in names:
        values = [run.params.get(name) for run in runs]
        if len({comparable(value) for value in values}) > 1:
            columns.append(make_column(name, values))
    return columns


def make_column(name: str, values: list[Any]) -> Column:
    """A column of a parameter's values as they were recorded."""
    known = [value for value in values if value is not None]
    if known and all(isinstance(value, int | float) and not isinstance(value, bool) for value in known):
        odd = {place: str(v) for place, v in enumerate(values) if v is not None and finite(v) is None}
        return _of_numbers(clean(name), [finite(value) for value in values])._replace(odd=odd)
    return _of_texts(clean(name), [None if value is None else text_of(value) for value in values])


def finite(value: Any) -> float | None:
    """A number that can be drawn, else None."""
    try:
        number = float(value)
    except (TypeError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def is_far(values: list[float]) -> bool:
    """Whether values lie so far apart that an axis of them is to be logarithmic."""
    return bool(values) and min(values) > 0 and max(values) > FAR * min(values)


def _of_numbers(name: str, values: list[float | None]) -> Column:
    known = sorted(value for value in values if value is not None)
    is_log = is_far(known)
    if not known or known[0] == known[-1]:
        return Column(name, list(values), True, is_log, [], [], {})
    scale = np.log if is_log else np.asarray
    low, high = float(scale(known[0])), float(scale(known[-1]))
    if not math.isfinite(high - low):
        return Column(name, list(values), True, is_log, [], [], {})

    def place(value: float) -> float:
        return round((float(scale(value)) - low) / (high - low), 4)

    distinct = sorted(set(known))
    if len(distinct) <= len(STEP_OF_TICKS):
        ticks = [(place(value), f"{value:.4g}") for value in distinct]
    else:
        unscale = np.exp if is_log else np.asarray
        ticks = [(step, f"{float(unscale(low + step * (high - low))):.3g}") for step in STEP_OF_TICKS]
    return Column(name, list(values), True, is_log, [None if v is None else place(v) for v in values], ticks, {})


def _of_texts(name: str, values: list[str | None]) -> Column:
    levels = sorted({value for value in values if value is not None})
    if not 1 < len(levels) <= MOST_LEVELS:
        return Column(name, list(values), False, False, [], [], {})
    places = {level: round(number / (len(levels) - 1), 4) for number, level in enumerate(levels)}
    ticks = [(place, level) for level, place in places.items()]
    return Column(name, list(values), False, False, [None if v is None else places[v] for v in values], ticks, {})


def metric_names(runs: list[PageRun]) -> list[str]:
    """The metrics of the runs: the usual ones first, then those of validation, then those that most runs have."""
    counts = Counter(name for run in runs for name in run.figures)
    order = {name: place for place, name in enumerate(USUAL)}
    return sorted(counts, key=lambda name: (order.get(name, 9), not name.startswith("val"), -counts[name], name))
