"""A run as a list has it: what is asked for is read out of its line in the index, the rest stays text."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from trackstack.records.choosing.directions import lower_is_better

FACTS = (
    *("run", "name", "status", "reproduced", "promoted", "error", "user", "started", "seconds"),
    *("stage", "sweep", "tagged", "notes"),
)
"""What every run has, in the order of its line."""
Names = tuple[str, ...]


class Shapes:
    """Lists of names, such as those of parameters: many runs share each, and a line has its number alone."""

    def __init__(self, known: list[list[str]] | None = None):
        self._names: list[Names] = [tuple(names) for names in known or []]
        self._numbers = {names: number for number, names in enumerate(self._names)}

    def number(self, names: Names) -> int:
        """The number of a list of names, which is added when it is new."""
        if names not in self._numbers:
            self._numbers[names] = len(self._names)
            self._names.append(names)
        return self._numbers[names]

    def values(self, number: int, values: list[Any]) -> dict[str, Any]:
        """The values of a line, by their names."""
        return dict(zip(self._names[number], values, strict=True))

    def as_json(self) -> list[list[str]]:
        """To be given to `Shapes` again."""
        return [list(names) for names in self._names]


class Lines(NamedTuple):
    """What the index keeps of a series: JSON lists."""

    facts: bytes
    """Facts; then the number of the metrics' names, and their last values."""
    others: bytes
    """The numbers of names of what the run recorded, and of what else DVC has of its stages; the values of both; the
    lowest and highest values of metrics; what its executions used."""


class IndexedRun:
    """One series: what a list shows, sorts by and chooses by."""

    def __init__(
        self, runs: str, folder: str, number: int, facts: list[Any], lines: Lines, shapes: Shapes, damage: list[str]
    ):
        self.number, self.damage = number, damage
        self._place, self._facts, self._lines, self._shapes = (runs, folder), facts, lines, shapes
        self.facts = dict(zip(FACTS, facts, strict=False))
        """What stands in `FACTS`."""
        self.figures: dict[str, float] = shapes.values(facts[-2], facts[-1])
        """The value of every metric at its last step."""

    @property
    def folder(self) -> Path:
        """`HOME/runs/RUN`"""
        return Path(*self._place)

    @cached_property
    def _others(self) -> list[Any]:
        return json.loads(self._lines.others)

    @property
    def key(self) -> str:
        """The run's id."""
        return self.facts["run"]

    def best(self, metric: str) -> float | None:
        """The best value of a metric at any step; None without it, or where its name does not say what is good."""
        lower = lower_is_better(metric)
        return (
            None
            if lower is None
            else self._shapes.values(self._facts[-2], self._others[4 if lower else 5]).get(metric)
        )

    @cached_property
    def params(self) -> Mapping[str, Any]:
        """By dotted names: what the run recorded, and what else DVC has of its stage and of those before it."""
        number, more, values, others = self._others[:4]
        own = self._shapes.values(number, values)
        return own if not others else {**self._shapes.values(more, others), **own}

    @property
    def spent(self) -> list[dict[str, Any]]:
        """What each execution used, see `trackstack.tracking.spending`."""
        return self._others[6]

    @property
    def param_shapes(self) -> bytes:
        """Equal for runs with the same names of parameters."""
        return self._lines.others.partition(b",[")[0]

    def as_row(self) -> dict[str, Any]:
        """All of it, for JSON."""
        names = (metric for metric in self.figures if lower_is_better(metric) is not None)
        best = {metric: self.best(metric) for metric in names}
        figures = {"metrics": dict(self.figures), "best": best, "params": dict(self.params), "spent": self.spent}
        return {**self.facts, **figures, "damage": self.damage}


def param_names(runs: Iterable[IndexedRun]) -> set[str]:
    """The names of all parameters of some runs."""
    one_of_each = {run.param_shapes: run for run in runs}
    return {name for run in one_of_each.values() for name in run.params}
