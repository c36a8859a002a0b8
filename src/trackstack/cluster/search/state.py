"""What the log of a search says: its trials, how far each is, and what they gave. No clock, no files."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable
from typing import Any

from trackstack import UserError
from trackstack.cluster.search import LOG_FILE, Settings
from trackstack.cluster.search.log import Event


@dataclasses.dataclass
class Member:
    """A training of a trial."""

    rungs: list[float | None] = dataclasses.field(default_factory=list)
    """The first metric at each rung that it reached; None is no number, which is worse than all others."""
    values: list[float | None] | None = None
    """The metrics at its end; None before."""

    def has_reached(self, rung: int) -> bool:
        """Whether it got so far, or to its end."""
        return self.values is not None or len(self.rungs) > rung

    def at(self, rung: int) -> float | None:
        """The first metric at a rung that it has reached; its last one where it ended before."""
        return self.rungs[rung] if len(self.rungs) > rung else (self.values or [None])[0]


@dataclasses.dataclass
class TrialState:
    """A trial, and how far it is."""

    number: int
    values: dict[str, Any]
    """The proposal, by parameters."""
    members: list[Member]
    target: int = 0
    """The rung that it is to reach; beyond the last one it is to be completed."""
    failure: str | None = None
    starts: int = 0
    """Those that came to an end."""
    hours: float = 0.0
    num_repeats: int = 0
    """How often it had no checkpoint at the last rung that it had reached, and so computed it once more."""

    @property
    def is_complete(self) -> bool:
        """Whether all members have ended."""
        return all(member.values is not None for member in self.members)

    def value_at(self, rung: int) -> float | None:
        """The mean over its members at a rung; NaN where one has no number; None before all of them got there."""
        if not all(member.has_reached(rung) for member in self.members):
            return None
        return mean(member.at(rung) for member in self.members)

    def figures(self) -> list[float]:
        """The means over its members at their end, a number for each metric."""
        assert self.is_complete
        return [mean(values) for values in zip(*(member.values or [] for member in self.members), strict=True)]


class SearchState:
    """All trials, by what the lines of a log say."""

    def __init__(self, settings: Settings, events: Iterable[Event] = ()):
        self.settings = settings
        self.trials: list[TrialState] = []
        self.num_wanted = 0
        self.budget: float | None = None
        self.num_lines = 0
        self.num_compared = 0
        """How often a training has got to a rung."""
        for event in events:
            self.add(event)

    def add(self, event: Event) -> None:
        """Take in one more line; UserError where it does not fit those before it."""
        self.num_lines += 1
        try:
            self._add(event)
        except (KeyError, IndexError, TypeError, ValueError):
            raise UserError(
                f"{LOG_FILE}: line {self.num_lines} does not fit those before it; "
                "put the file back as it was, or begin another search: -n NAME"
            ) from None

    def _add(self, event: Event) -> None:
        kind = event["event"]
        if kind == "begin":
            self.num_wanted, self.budget = event["trials"], event["budget"]
            return
        if kind == "suggest":
            if event["trial"] != len(self.trials):
                raise ValueError
            members = [Member() for _ in self.settings.over]
            self.trials.append(TrialState(event["trial"], event["values"], members))
            return
        trial = self.trials[event["trial"]]
        if kind == "promote":
            trial.target = event["rung"] + 1
        elif kind == "fail":
            trial.failure = event["reason"]
        elif kind == "spent":
            trial.hours += event["hours"]
            trial.starts += 1
        elif kind == "again":
            trial.num_repeats += 1
        elif kind == "rung":
            trial.members[event["member"]].rungs.append(event["value"])
            self.num_compared += 1
        elif kind == "end":
            member = trial.members[event["member"]]
            member.values, member.rungs = event["values"], event["rungs"]

    @property
    def hours(self) -> float:
        """What all trials took together."""
        return math.fsum(trial.hours for trial in self.trials)

    @property
    def is_spent(self) -> bool:
        """Whether the budget is used up: what has begun is brought to where it was to go, and nothing else."""
        return self.budget is not None and self.hours >= self.budget

    def status(self, trial: TrialState) -> str:
        """finished, failed, paused, or begun."""
        if trial.failure is not None:
            return "failed"
        if trial.is_complete:
            return "finished"
        return "begun" if self.missing(trial) else "paused"

    def missing(self, trial: TrialState) -> list[int]:
        """The members that have yet to reach what the trial is to reach."""
        if trial.failure is not None:
            return []
        is_last = not self.settings.has_rung(trial.target)
        return [
            number
            for number, member in enumerate(trial.members)
            if member.values is None and (is_last or not member.has_reached(trial.target))
        ]

    def values_at(self, rung: int) -> dict[int, float]:
        """Of the trials that all got to a rung, the value there, so that lower is better; NaN is infinity."""
        sign = 1 if self.settings.metrics[0].lower_is_better else -1
        found = ((trial.number, trial.value_at(rung)) for trial in self.trials)
        return {number: _worst_if_nan(sign * value) for number, value in found if value is not None}


def mean(values: Iterable[float | None]) -> float:
    """NaN where one of them is None; else the mean, the same in whatever order."""
    numbers = [math.nan if value is None else value for value in values]
    return math.fsum(numbers) / len(numbers) if all(map(math.isfinite, numbers)) else math.nan


def as_json(value: float) -> float | None:
    """A figure for the log: what is no finite number is None."""
    return value if math.isfinite(value) else None


def _worst_if_nan(value: float) -> float:
    return math.inf if math.isnan(value) else value
