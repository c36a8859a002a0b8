"""Learning curves with few enough points for a page: each bucket of steps keeps its least and its greatest value."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from trackstack.page.runs import Curve, PageRun

MOST_POINTS, MOST_OF_A_CURVE, FEWEST_OF_A_CURVE = 400_000, 400, 40
DIGITS = 5


class Curves(NamedTuple):
    """The curves of a page, as columns."""

    steps: list[list[int]]
    """Each series of steps once."""
    of_metric: dict[str, list[tuple[int, int, list[float | None]]]]
    """By metric: number of the run, of its steps, and its values; None for NaN and infinities."""
    thinned: int
    """Of how many curves some points were left out."""
    most: int
    """Points of a curve, of a longer one."""
    left_out: list[str]
    """Metrics for which there is no room."""


def page_curves(runs: list[PageRun], metrics: list[str]) -> Curves:
    """The curves of metrics that runs have at more than one step."""
    names = [name for name in metrics if any(len(run.curves.get(name, ())) > 1 for run in runs)]
    fit = max(1, MOST_POINTS // (FEWEST_OF_A_CURVE * max(1, len(runs))))
    shown, left_out = names[:fit], names[fit:]
    number = sum(name in run.curves for run in runs for name in shown)
    most = min(MOST_OF_A_CURVE, max(FEWEST_OF_A_CURVE, MOST_POINTS // max(1, number)))
    steps: dict[tuple[int, ...], int] = {}
    of_metric: dict[str, list[Any]] = {name: [] for name in shown}
    thinned = 0
    for place, run in enumerate(runs):
        for name in shown:
            if curve := run.curves.get(name):
                kept = thin(curve, most)
                thinned += len(kept) < len(curve)
                key = tuple(step for step, _ in kept)
                of_metric[name].append((place, steps.setdefault(key, len(steps)), [_rounded(v) for _, v in kept]))
    return Curves([list(one) for one in steps], of_metric, thinned, most, left_out)


def thin(curve: Curve, most: int) -> Curve:
    """At most so many points: the first, the last, and of each bucket between them the extremes."""
    if len(curve) <= most:
        return curve
    values = np.array([value for _, value in curve], float)
    kept = {0, len(curve) - 1}
    for bucket in np.array_split(np.arange(1, len(curve) - 1), (most - 2) // 2):
        if (found := bucket[np.isfinite(values[bucket])]).size:
            kept |= {int(found[values[found].argmin()]), int(found[values[found].argmax()])}
        else:
            kept.add(int(bucket[0]))  # a gap
    return [curve[place] for place in sorted(kept)]


def _rounded(value: float) -> float | None:
    return float(f"{value:.{DIGITS}g}") if math.isfinite(value) else None
