"""Searches to test on: their settings, logs written by hand, and folders without any clone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trackstack.cluster.search import Metric, Search, Settings
from trackstack.cluster.search.log import DecisionLog, Event
from trackstack.cluster.search.state import SearchState
from trackstack.cluster.sweep import Sweep

SPACE = {"lr": {"log": [1e-4, 1e-1]}, "seed": {"choice": [0, 1, 2]}}
BEGIN = {"event": "begin", "trials": 10, "budget": None}


def settings(**changes: Any) -> Settings:
    """A search at random for a low `val_loss`, with ASHA."""
    given = {
        "space": SPACE,
        "metrics": [Metric("val_loss", lower_is_better=True)],
        "sampler": "random",
        "seed": 0,
        "prune": "asha",
        "rungs": [],
        "over": [[]],
    }
    return Settings(**given | changes)


def search_in(folder: Path, **changes: Any) -> Search:
    """A search that is saved and has begun; there is neither a repository nor a clone."""
    sweep = Sweep(folder / "runs/.sweeps/s", folder, "0" * 40, [], 1, {}, [], folder / "cache")
    search = Search(sweep, settings(**changes))
    sweep.save()
    search.save()
    DecisionLog(search.log).append(BEGIN)
    return search


def suggested(trial: int, **values: Any) -> Event:
    """The line of a proposal."""
    return {"event": "suggest", "trial": trial, "values": values or {"lr": 0.01, "seed": 0}}


def at_rung(trial: int, value: float | None, rung: int = 0, member: int = 0) -> Event:
    """The line of a trial that got to a rung."""
    return {"event": "rung", "trial": trial, "member": member, "rung": rung, "value": value}


def promoted(trial: int, rung: int = 0) -> Event:
    """The line of a trial that goes on."""
    return {"event": "promote", "trial": trial, "rung": rung}


def ended(trial: int, *values: float | None, rungs: tuple[float | None, ...] = (), member: int = 0) -> Event:
    """The line of a training that is complete."""
    return {"event": "end", "trial": trial, "member": member, "values": list(values), "rungs": list(rungs)}


def failed(trial: int, reason: str = "the train_loss is nan") -> Event:
    """The line of a trial that cannot be completed."""
    return {"event": "fail", "trial": trial, "member": 0, "reason": reason}


def spent(trial: int, hours: float) -> Event:
    """The line of a start."""
    return {"event": "spent", "trial": trial, "member": 0, "hours": hours}


def state_of(*events: Event, **changes: Any) -> SearchState:
    """What a log says that begins with ten trials wanted."""
    return SearchState(settings(**changes), [BEGIN, *events])
