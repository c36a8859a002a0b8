"""Who works on what: a unit of work is a member of a trial, up to the rung that its trial is to reach.

Whoever is free takes the first unit that is due, or has the next decision made. A unit is one process's while it
holds the lease on the unit's folder, which a kill gives back.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

from trackstack.cluster.search import Search
from trackstack.cluster.search.decide import next_decision
from trackstack.cluster.search.log import opened
from trackstack.cluster.search.sampler import versions_of
from trackstack.cluster.search.space import overrides_of, parse_space
from trackstack.cluster.search.state import SearchState
from trackstack.cluster.sweep import Trial
from trackstack.system.lease import is_live, take_lease


class Unit(NamedTuple):
    """A member of a trial, that somebody is at work on."""

    trial: int
    member: int
    run: Trial
    """What makes its experiment."""
    folder: Path
    """Of its lease."""


def take_unit(search: Search) -> Unit | None:
    """Take what is due, or decide what is to be done next; None when there is nothing to do.

    Then whoever is still at work takes what comes of it.
    """
    with opened(search.log) as log:
        state = SearchState(search.settings, log.events)
        space = parse_space(search.settings.space, search.name)
        while (unit := _first_due(search, state)) is None:
            decision = next_decision(state, space, versions_of(search.settings.sampler))
            if decision is None:
                return None
            log.append(decision)  # of a promotion, the trial may still be about to end its way to the rung
            state.add(decision)
        take_lease(unit.folder, f"trial {unit.run.name}")
        return unit


def is_due(search: Search, unit: Unit) -> bool:
    """Whether a unit that was taken has still to be worked on: a process that lost its task may have got on."""
    with opened(search.log) as log:
        state = SearchState(search.settings, log.events)
        return unit.member in state.missing(state.trials[unit.trial])


def unit_of(search: Search, state: SearchState, trial: int, member: int) -> Unit:
    """A member of a trial as a unit."""
    name = search.unit_name(trial, member)
    overrides = [*overrides_of(state.trials[trial].values), *search.settings.over[member]]
    return Unit(trial, member, Trial(name, overrides), search.sweep.folder / "units" / name)


def workers(search: Search) -> Path:
    """The folder of the leases of those that work for a command, by their names."""
    return search.sweep.folder / "workers"


def _first_due(search: Search, state: SearchState) -> Unit | None:
    for trial in state.trials:
        for member in state.missing(trial):
            unit = unit_of(search, state, trial.number, member)
            if not is_live(unit.folder):
                return unit
    return None
