"""What a member of a trial gave: the metrics of its run's record, at its end and at each rung."""

from __future__ import annotations

import contextlib
import math
from typing import NamedTuple

from trackstack import UserError
from trackstack.cluster.search import Search, Settings
from trackstack.cluster.search.state import as_json
from trackstack.records.index.index import read_index
from trackstack.records.query import read_series
from trackstack.records.reading import Point, points_of
from trackstack.records.rebuild import rebuild
from trackstack.tracking.environment import home


class Figures(NamedTuple):
    """Of a training that is complete; None is no finite number."""

    values: list[float | None]
    """Of each of the search's metrics."""
    rungs: list[float | None]
    """Of the first metric, at each rung that it passed."""


def read_figures(search: Search, name: str, run: str | None) -> Figures:
    """What the record of an experiment has of a search's metrics.

    An experiment that DVC had in its cache of runs has executed nothing: its record is that of the first time.

    Args:
        name: of the experiment, and so of its runs.
        run: the id of one that was executed for it; it may have begun under another name.

    Raises:
        UserError: it has no such metric; the line names those it has.
    """
    wanted = [metric.name for metric in search.settings.metrics]
    found = _metrics_of(name, run)
    if not found:
        with contextlib.chdir(search.sweep.origin):
            found = _metrics_of(name, rebuild(name, home())[0])
    for metric in wanted:
        if metric not in found:
            known = ", ".join(sorted(metric for metric in found if not metric.startswith("test_"))) or "none"
            raise UserError(f"{metric}: never logged; the run's metrics: {known}")
    values = [max(found[metric], key=lambda point: point.step).value for metric in wanted]
    return Figures([as_json(value) for value in values], _at_rungs(search.settings, found[wanted[0]]))


def is_recorded(search: Search, name: str) -> bool:
    """Whether the metrics of an experiment are known."""
    try:
        read_figures(search, name, None)
    except UserError:
        return False
    return True


def last_step(name: str) -> int:
    """The furthest step that is recorded for an experiment; -1 where there is none."""
    return max((point.step for points in _metrics_of(name, None).values() for point in points), default=-1)


def _metrics_of(name: str, run: str | None) -> dict[str, list[Point]]:
    """The points of each metric of a run, and of all that are recorded under a name, the newest last."""
    found: dict[str, list[Point]] = {}
    for indexed in read_index(home()):
        if indexed.facts["name"] == name or indexed.key == run:
            points: dict[str, list[Point]] = {}
            for point in points_of(read_series(indexed).records):
                points.setdefault(point.metric, []).append(point)
            found |= points
    return found


def _at_rungs(settings: Settings, points: list[Point]) -> list[float | None]:
    rungs: list[float | None] = []
    for point in sorted(points, key=lambda point: point.step):
        while settings.has_passed(len(rungs), point.step):
            rungs.append(point.value if math.isfinite(point.value) else None)
    return rungs
