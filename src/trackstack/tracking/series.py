"""What the journals of a run say, put together: attempts become series, and re-executions are compared.

The rules, for `train`, `evaluate` and every other stage alike:

* An attempt that goes on from another one, which did not finish, is one execution with it.
* `evaluate` is part of the series that trained its model.
* A series goes to each back end that one of its executions named, to the place that the first of these named: one
  that is switched on later gets all of it, and none has half.
* An execution of something that an earlier one of the same stage has finished is a re-execution. With equal figures
  and artifacts it marks the earlier series as reproduced; otherwise it is a series of its own, beside it. While it
  is running, or interrupted and may be gone on with, nobody can tell, and it is held back.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from trackstack.core.digest import digest_path
from trackstack.tracking.environment import destinations_at
from trackstack.tracking.journal import UNFINISHED, journals, line_number, read_records
from trackstack.tracking.sinks import Series
from trackstack.tracking.spending import spent


@dataclass
class Attempt:
    """One journal, read so far."""

    number: int
    path: Path
    offset: int = 0
    start: dict[str, Any] = field(default_factory=dict)
    """Empty until it is recorded."""
    points: list[dict[str, Any]] = field(default_factory=list)
    """Its metrics and system records."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None
    damage: list[str] = field(default_factory=list)
    """A text for each line that is not what was written, and for a file that cannot be read; all else counts."""

    def refresh(self) -> None:
        """Read what was appended since."""
        try:
            for offset, record in read_records(self.path, self.offset):
                self.offset = offset
                self._take(record)
        except OSError as error:
            self.damage = [f"{self.path}: cannot be read: {error.strerror}"]

    def _take(self, record: dict[str, Any] | None) -> None:
        if record is None:
            self.damage.append(f"{self.path}: line {line_number(self.path, self.offset)} is damaged, and left out")
        elif record["type"] == "start":
            self.start = record
        elif record["type"] == "artifact":
            self.artifacts.append(record)
        elif record["type"] == "end":
            self.end = record
        else:
            self.points.append(record)


@dataclass
class Execution:
    """Attempts at one stage of a series, each but the first going on from the one before."""

    attempts: list[Attempt]

    @property
    def start(self) -> dict[str, Any]:
        """The start record of its first attempt."""
        return self.attempts[0].start

    @property
    def status(self) -> str | None:
        """How its last attempt ended; None without an end."""
        end = self.attempts[-1].end
        return end["status"] if end else None

    @property
    def was_published(self) -> bool:
        """Whether back ends may have it from before its last attempt: one that is gone on with is held back."""
        return any(not attempt.end or attempt.end["status"] not in UNFINISHED for attempt in self.attempts[:-1])

    def has_same_outcome(self, other: Execution) -> bool:
        """Whether figures and digests of artifacts are equal. NaN equals NaN.

        What a damaged line took away from one of them is not compared.
        """
        mine, others = self._outcome(), other._outcome()
        if any(attempt.damage for attempt in (*self.attempts, *other.attempts)):
            return all(others[key] == mine[key] for key in mine.keys() & others.keys())
        return mine == others

    def _outcome(self) -> dict[Any, str]:
        """Of the records of a point the first counts, of an artifact the last."""
        values: dict[tuple[str, int], float] = {}
        for record in (record for attempt in self.attempts for record in attempt.points):
            if record["type"] == "metrics":
                for name, value in record["values"].items():
                    values.setdefault((name, record["step"]), value)
        figures = {point: repr(value) for point, value in values.items()}
        artifacts = {record["name"]: record["digest"] for attempt in self.attempts for record in attempt.artifacts}
        return {**figures, **artifacts}


@dataclass
class SeriesRecords:
    """A series with the records that back ends get of it."""

    series: Series
    records: list[dict[str, Any]]


class Earlier(NamedTuple):
    """The attempts at a run that did not finish, and that a new one may go on from."""

    series: int
    destinations: dict[str, dict[str, Any]]
    """Where they are delivered to, by back end."""
    first_step: int | None = None
    """The first that they logged, where the first step of the new one has to decide: with that one it begins anew."""


class RunFolder:
    """All attempts at one run, read incrementally."""

    def __init__(self, folder: Path):
        self.folder = folder
        self._attempts: dict[int, Attempt] = {}

    def refresh(self) -> list[Attempt]:
        """Read what is new; the attempts whose start was recorded, first to last."""
        for number, path in journals(self.folder):
            self._attempts.setdefault(number, Attempt(number, path)).refresh()
        return [attempt for attempt in self._attempts.values() if attempt.start]

    def damage(self, delivered: Collection[int] = ()) -> list[str]:
        """What of the journals read so far is not as it was written, a line each.

        Args:
            delivered: the attempts whose ends back ends have.
        """
        texts = [text for attempt in self._attempts.values() for text in attempt.damage]
        for number in sorted(delivered):
            attempt, path = self._attempts.get(number), self.folder / f"journal-{number}.jsonl"
            if attempt is None or not (attempt.end or attempt.damage):
                how = "cut short" if attempt else "missing"
                texts.append(f"{path}: {how}: its end was delivered, and is not in it; back ends still have it")
        return texts


def earlier_attempts(folder: Path, stage: str) -> Earlier | None:
    """What a new attempt of a stage at the run in `folder` may go on from; None where the last one has finished."""
    attempts = [attempt for attempt in RunFolder(folder).refresh() if attempt.start["stage"] == stage]
    if not attempts or (attempts[-1].end and attempts[-1].end["status"] == "finished"):
        return None
    series = attempts[-1].start["series"]
    places = _destinations(folder, [attempt for attempt in attempts if attempt.start["series"] == series])
    # Without a checkpoint a stage does the same again; a person's script may not, or has its checkpoints elsewhere.
    if stage != "run" or any(folder.glob("checkpoints/*")):
        return Earlier(series, places)
    steps = [
        point["step"]
        for attempt in attempts
        for point in attempt.points
        if attempt.start["series"] == series and point["type"] == "metrics"
    ]
    if steps:
        return Earlier(series, places, min(steps))
    # With nothing recorded there is nothing to go on from; but who was stopped before the first point means to go on.
    interrupted = attempts[-1].end and attempts[-1].end["status"] in UNFINISHED
    return Earlier(series, places) if interrupted else None


def series_of_model(folder: Path, model_folder: Path) -> int | None:
    """The series of a run that trained this very model, which an evaluation joins; None when none is known."""
    if not folder.exists():
        return None
    digest = digest_path(model_folder)
    for attempt in reversed(RunFolder(folder).refresh()):
        if any(record["kind"] == "model" and record["digest"] == digest for record in attempt.artifacts):
            return attempt.start["series"]
    return None


def group_attempts(folder: Path, attempts: list[Attempt], live: bool) -> list[SeriesRecords]:
    """Put attempts together to series, by the rules at the top of this file.

    Args:
        live: whether a process is writing the run, so that a last attempt without an end is not lost.
    """
    series: dict[int, Series] = {}
    members: dict[int, list[Attempt]] = {}
    reproductions: dict[int, list[Attempt]] = {}  # by the series with equal results
    finished: list[tuple[int, Execution]] = []  # with the series
    reproduces: dict[int, int] = {}  # a re-execution -> the series with equal results
    spending: dict[int, list[dict[str, Any]]] = {}
    for execution in _executions(attempts):
        start, stage = execution.start, execution.start["stage"]
        is_root = start["series"] == start["attempt"]
        running = live and execution.attempts[-1] is attempts[-1] and execution.status is None
        target = reproduces.get(start["series"], start["series"])
        without_end = "running" if running else "lost"
        bill = spent(execution.attempts, execution.status or without_end)
        rivals = [
            (number, earlier)
            for number, earlier in finished
            if earlier.start["stage"] == stage
            and earlier.attempts[-1].number < start["attempt"]  # it had finished before this began
            and (is_root or number == target)
        ]
        if rivals and not execution.was_published:
            if running or execution.status in UNFINISHED:
                spending.setdefault(rivals[0][0], []).append(bill)
                continue
            same = [number for number, rival in rivals if rival.has_same_outcome(execution)]
            if same and execution.status == "finished":
                reproduces[start["attempt"]] = same[0]
                series[same[0]].reproduced += is_root
                reproductions.setdefault(same[0], []).extend(execution.attempts)
                spending.setdefault(same[0], []).append(bill)
                continue
        if rivals:
            target = start["attempt"]
        if target not in series:
            series[target] = Series(start["run"], target, folder, start)
        members.setdefault(target, []).extend(execution.attempts)
        spending.setdefault(target, []).append(bill)
        if stage == series[target].start["stage"]:
            _end(series[target], execution, without_end)
        if execution.status == "finished":
            finished.append((target, execution))
    for number, bills in spending.items():
        series[number].spent = bills
        series[number].destinations = _destinations(folder, members[number] + reproductions.get(number, []))
    return [
        _series_records(one_series, sorted(members[number], key=lambda attempt: attempt.number))
        for number, one_series in series.items()
    ]


def _executions(attempts: list[Attempt]) -> list[Execution]:
    latest: dict[tuple[int, str], Execution] = {}
    executions = []
    for attempt in attempts:
        key = attempt.start["series"], attempt.start["stage"]
        if key in latest and latest[key].status != "finished":
            latest[key].attempts.append(attempt)
        else:
            latest[key] = Execution([attempt])
            executions.append(latest[key])
    return executions


def _end(series: Series, execution: Execution, without_end: str) -> None:
    """How the run ended, which is for the stage to say that began the series."""
    end = execution.attempts[-1].end or {"status": without_end}
    series.status, series.error, series.finished = end["status"], end.get("error"), end.get("time")


def _destinations(folder: Path, attempts: list[Attempt]) -> dict[str, dict[str, Any]]:
    """By back end: the place that the first attempt to name it named."""
    found: dict[str, dict[str, Any]] = {}
    for attempt in sorted(attempts, key=lambda attempt: attempt.number):
        found = attempt.start.get("destinations", {}) | found
    return destinations_at(folder.parent.parent, found)


def _series_records(series: Series, attempts: list[Attempt]) -> SeriesRecords:
    """Records in the order in which they were made: what comes later must come last, for back ends count them."""
    series.artifacts = [record for attempt in attempts for record in attempt.artifacts]
    records = [record for attempt in attempts for record in attempt.points]
    series.num_records = len(records)
    series.upstream = [attempt.start["upstream"] for attempt in attempts if attempt.start.get("upstream")]
    return SeriesRecords(series, records)
