"""A search: trials that a sampler proposes from what earlier ones gave, each a DVC experiment in a clone of its own.

A search lies where sweeps do, in `HOME/runs/.sweeps/NAME/`, with a sweep's base clone and notes. Beside them,
`search.json` says what is searched for, and `decisions.jsonl` is all that has been decided and has happened, in
order: every decision is a function of the lines before it. Nothing else remembers anything, so a kill loses nothing.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from trackstack.cluster.sweep import SEARCH_FILE, Sweep, find_folder, load_sweep
from trackstack.core.files import read_json, sealed, write_json

LOG_FILE = "decisions.jsonl"
SAMPLERS = ("tpe", "random", "quasi-random", "grid")
PRUNERS = ("none", "asha", "median")
REDUCTION = 3
"""One of so many trials goes on at a rung of ASHA, and each rung is so many times as far as the one before."""


@dataclasses.dataclass(frozen=True)
class Metric:
    """A figure that a search makes better."""

    name: str
    lower_is_better: bool


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a search looks for, and how."""

    space: dict[str, Any]
    """As its file has it; see `space`."""
    metrics: list[Metric]
    sampler: str
    seed: int
    prune: str
    rungs: list[int]
    """Where trials are compared, in steps of `Run.log`; with none given, each is `REDUCTION` times the one before."""
    over: list[list[str]]
    """The settings of each member of a trial, of which a trial's figure is the mean; one without any by default."""

    def rung(self, index: int) -> int:
        """The number of steps at a rung: from then on a trial may be paused."""
        return self.rungs[index] if self.rungs else REDUCTION**index

    def has_rung(self, index: int) -> bool:
        """Whether trials are compared so often."""
        return self.prune != "none" and (not self.rungs or index < len(self.rungs))

    def has_passed(self, index: int, step: int) -> bool:
        """Whether a training is at a rung, or behind it, when it has logged a step; they are counted from 0."""
        return self.has_rung(index) and step + 1 >= self.rung(index)

    def as_json(self) -> dict[str, Any]:
        """For `search.json`."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> Settings:
        """What `as_json` gave."""
        return cls(**values | {"metrics": [Metric(**metric) for metric in values["metrics"]]})


@dataclasses.dataclass(frozen=True)
class Search:
    """A search, and the sweep whose clones and notes its trials use."""

    sweep: Sweep
    settings: Settings

    @property
    def name(self) -> str:
        """Of the search; its trials' experiments begin with it."""
        return self.sweep.name

    @property
    def log(self) -> Path:
        """The file of all decisions."""
        return self.sweep.folder / LOG_FILE

    def unit_name(self, trial: int, member: int) -> str:
        """The name of a trial's DVC experiment, or of that of a member of it."""
        return f"{self.name}-{trial:04d}" + (f"-{member}" if len(self.settings.over) > 1 else "")

    def save(self) -> None:
        """Write `search.json`, for the tasks to read."""
        write_json(self.sweep.folder / SEARCH_FILE, sealed(self.settings.as_json()))


def is_search(folder: Path) -> bool:
    """Whether a sweep's folder is that of a search."""
    return (folder / SEARCH_FILE).exists()


def load_search(folder: Path) -> Search:
    """Read a search that was saved; UserError when it is damaged."""
    settings = read_json(folder / SEARCH_FILE, "the search's command typed again writes it anew")
    return Search(load_sweep(folder), Settings.from_json(settings))


def find_search(name: str | None) -> Search:
    """A search of this home by its name, the newest by default; UserError where there is none."""
    hint = "type: trackstack search SPACE.yaml --trials 30 --metric val_loss"
    return load_search(find_folder(name, SEARCH_FILE, "searches", hint))
