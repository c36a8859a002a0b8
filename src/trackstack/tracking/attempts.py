"""What the journals of a run say, put together: attempts become series, and re-executions are compared.

The rules, for `train`, `evaluate` and every other stage alike:

* An attempt that goes on from another one is part of its series.
* `evaluate` is part of the series that trained its model.
* An attempt at something that an earlier one of the same stage has finished is a re-execution. With equal figures
  and artifacts it marks the earlier series as reproduced; otherwise it is a series of its own, beside it. Until it
  has ended nobody can tell, and it is held back.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trackstack.tracking.journal import journals, read_records
from trackstack.tracking.sinks import Series

Point = tuple[str, int]


@dataclass
class Attempt:
    """One journal, read so far."""

    number: int
    path: Path
    offset: int = 0
    start: dict[str, Any] | None = None
    points: list[dict[str, Any]] = field(default_factory=list)
    """Its metrics and system records."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    end: dict[str, Any] | None = None

    def refresh(self) -> None:
        """Read what was appended since; UserError for a line that is no record."""
        for offset, record in read_records(self.path, self.offset):
            self.offset = offset
            if record["type"] == "start":
                self.start = record
            elif record["type"] == "artifact":
                self.artifacts.append(record)
            elif record["type"] == "end":
                self.end = record
            else:
                self.points.append(record)

    def figures(self) -> dict[Point, float]:
        """Every point of every metric; the first record of a point counts."""
        found: dict[Point, float] = {}
        for record in self.points:
            if record["type"] == "metrics":
                for name, value in record["values"].items():
                    found.setdefault((name, record["step"]), value)
        return found

    def outcome(self) -> tuple:
        """What is compared between executions: figures and the digests of artifacts. NaN equals NaN."""
        figures = sorted((name, step, repr(value)) for (name, step), value in self.figures().items())
        return figures, sorted((record["name"], record["digest"]) for record in self.artifacts)


@dataclass
class Told:
    """A series with the records that back ends get of it."""

    series: Series
    records: list[dict[str, Any]]


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


def tell(folder: Path, attempts: list[Attempt], live: bool) -> list[Told]:
    """Put attempts together to series, by the rules above.

    Args:
        live: whether a process is writing the run, so that a last attempt without an end is not lost.
    """
    told: dict[int, Told] = {}
    finished: dict[tuple[int, str], Attempt] = {}  # by series and stage: the first that finished
    reproduces: dict[int, int] = {}  # a re-execution -> the series with equal results
    for attempt in attempts:
        start, running = attempt.start, live and attempt is attempts[-1] and attempt.end is None
        is_root = start["series"] == attempt.number
        target = reproduces.get(start["series"], start["series"])
        rivals = {
            series: rival
            for (series, stage), rival in finished.items()
            if stage == start["stage"] and (is_root or series == target)
        }
        if rivals and running:
            continue
        if rivals:
            twin = next((series for series, rival in rivals.items() if rival.outcome() == attempt.outcome()), None)
            if twin is not None:
                reproduces[attempt.number] = twin
                told[twin].series.reproduced += is_root
                continue
            target = attempt.number
        if target not in told:
            told[target] = Told(Series(start["run"], target, folder, start), [])
        _add(told[target], attempt, "running" if running else "lost")
        if attempt.end and attempt.end["status"] == "finished":
            finished.setdefault((target, start["stage"]), attempt)
    return list(told.values())


def _add(told: Told, attempt: Attempt, without_end: str) -> None:
    """Append an attempt to its series; how the run ended is for the stage to say that began the series."""
    told.records += attempt.points
    series = told.series
    series.artifacts += attempt.artifacts
    if attempt.start["stage"] == series.start["stage"]:
        end = attempt.end or {"status": without_end}
        series.status, series.error, series.finished = end["status"], end.get("error"), end.get("time")
