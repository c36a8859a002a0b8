"""What the folders of a home say of its runs, read from the journals themselves."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError, describe_error
from trackstack.records.choosing.directions import lower_is_better
from trackstack.system.lease import is_live
from trackstack.tracking.delivery.note import SYNC_NOTE, read_note
from trackstack.tracking.journal import journals
from trackstack.tracking.series import RunFolder, SeriesRecords, group_attempts


def run_folders(home: Path) -> list[Path]:
    """The folders of all runs, oldest first."""
    found = {}
    for folder in (home / "runs").glob("[!.]*/"):
        try:
            first = min(journals(folder), default=None)
            note = folder / SYNC_NOTE  # without a journal, it was lost
            if first or note.exists():
                found[folder] = (first[1] if first else note).stat().st_mtime
        except NotADirectoryError:
            continue
        except OSError:  # to be named by whoever reads it
            found[folder] = 0.0
    return sorted(found, key=lambda folder: (found[folder], folder))


class RunRecord(NamedTuple):
    """What the journals of one run's folder say."""

    folder: Path
    series: list[SeriesRecords]
    damage: list[str]
    """What is not as it was written, a line each; nothing else is missing."""
    live: bool | None = None
    """Whether a process is writing it; None where its last attempt has ended, so that it makes no difference."""
    ended: tuple[int, ...] = ()
    """The attempts with an end, or with damage in its place."""


def read_run(folder: Path) -> RunRecord:
    """Read the journals of a run; whatever is damaged hides nothing else."""
    live: bool | None = None
    try:
        reader = RunFolder(folder)
        attempts = reader.refresh()
        if not attempts or not attempts[-1].end:
            live = is_live(folder)
            attempts = reader.refresh()  # it may have ended meanwhile
    except OSError as error:
        return RunRecord(folder, [], [f"{folder}: cannot be read: {describe_error(error)}"])
    damage = reader.damage(read_note(folder).get("ended", []))
    if not attempts and not live and (damage or (folder / SYNC_NOTE).exists()):
        damage.append(
            f"{folder}: no journal in it has a start; trackstack sync --all-exps rebuilds what DVC has of it"
        )
    series = group_attempts(folder, attempts, bool(live))
    for records in series:
        try:
            _ = records.series.versions
        except UserError as error:
            damage.append(str(error))
    ended = tuple(attempt.number for attempt in attempts if attempt.end or attempt.damage)
    return RunRecord(folder, series, damage, live, ended)


def every_run(home: Path) -> list[SeriesRecords]:
    """What the journals say of each series, oldest first."""
    return [series for folder in run_folders(home) for series in read_run(folder).series]


class Point(NamedTuple):
    """A value of a metric."""

    metric: str
    step: int
    value: float
    time: float
    """Seconds since 1970."""


def points_of(records: Iterable[dict[str, Any]]) -> Iterator[Point]:
    """The metrics among records, in their order: the first record of a point counts, as in every back end."""
    seen: dict[str, set[int]] = defaultdict(set)
    for record in records:
        if record["type"] == "metrics":
            step = record["step"]
            for metric, value in record["values"].items():
                if step not in seen[metric]:
                    seen[metric].add(step)
                    yield Point(metric, step, value, record["time"])


class Figures(NamedTuple):
    """What is kept of each metric of a run, by name."""

    last: dict[str, float]
    """The value at its last step."""
    low: dict[str, float]
    high: dict[str, float]
    """The lowest and the highest; NaN only where there is nothing else."""

    def best(self, metric: str) -> float | None:
        """The best value at any step; None without the metric, or where its name does not say what is good."""
        lower = lower_is_better(metric)
        return None if lower is None else (self.low if lower else self.high).get(metric)


def figures_of(run: SeriesRecords) -> Figures:
    """Last, lowest and highest values of every metric."""
    found, steps = Figures({}, {}, {}), dict[str, int]()
    last, low, high = found
    for metric, step, value, _ in points_of(run.records):
        if metric not in steps:
            last[metric] = low[metric] = high[metric] = value
            steps[metric] = step
        elif step > steps[metric]:
            last[metric], steps[metric] = value, step
        if value < low[metric] or math.isnan(low[metric]):
            low[metric] = value
        if value > high[metric] or math.isnan(high[metric]):
            high[metric] = value
    return found


def last_figures(run: SeriesRecords) -> dict[str, float]:
    """The value of every metric at its last step."""
    return figures_of(run).last
