"""What a search does next: go on with a trial that was paused, or begin another. A function of the log alone."""

from __future__ import annotations

import math
from typing import Any

from trackstack.cluster.search import REDUCTION
from trackstack.cluster.search.log import Event
from trackstack.cluster.search.sampler import Suggestion, suggest
from trackstack.cluster.search.space import Space
from trackstack.cluster.search.state import SearchState, TrialState

MEDIAN_NEEDS = 5
"""Trials at a rung before the median prunes; as in Optuna's MedianPruner."""
HOPELESS = 3
"""As many trials, all failed, end a search: the next would fail, too."""


def worth_promoting(state: SearchState, rung: int) -> set[int]:
    """The trials that are good enough at a rung to go on.

    Asynchronous successive halving (Li et al., 2020, https://arxiv.org/abs/1810.05934, algorithm 2): the best third
    of those that got there so far. The median rule: those that are no worse than the middle one.
    """
    values = state.values_at(rung)
    ranked = sorted(values, key=lambda number: (values[number], number))
    if state.settings.prune == "asha":
        return set(ranked[: len(ranked) // REDUCTION])
    if len(ranked) < MEDIAN_NEEDS:
        return set(ranked)
    middle = values[ranked[(len(ranked) - 1) // 2]]
    return {number for number in ranked if values[number] <= middle and values[number] < math.inf}


def next_promotion(state: SearchState) -> TrialState | None:
    """The paused trial that goes on: from the highest rung, the best one."""
    paused = [trial for trial in state.trials if state.status(trial) == "paused"]
    for rung in sorted({trial.target for trial in paused}, reverse=True):
        worthy, values = worth_promoting(state, rung), state.values_at(rung)
        there = [trial for trial in paused if trial.target == rung and trial.number in worthy]
        if there:
            return min(there, key=lambda trial: (values[trial.number], trial.number))
    return None


def next_decision(state: SearchState, space: Space, versions: dict[str, Any]) -> Event | None:
    """The line that is to be written when somebody is free to work, or None when nothing is left to decide."""
    if state.is_spent or why_hopeless(state):
        return None
    if promoted := next_promotion(state):
        return promotion(promoted)
    if len(state.trials) >= state.num_wanted:
        return _last_promotion(state)
    suggestion = suggest(state, space)
    return _last_promotion(state) if suggestion is None else suggestion_event(state, suggestion, versions)


def _last_promotion(state: SearchState) -> Event | None:
    """When nothing else is left and no trial has got to its end, the one that is best where most are sorted out."""
    statuses = [state.status(trial) for trial in state.trials]
    paused = [trial for trial, status in zip(state.trials, statuses, strict=True) if status == "paused"]
    if not paused or "finished" in statuses or "begun" in statuses:
        return None
    rung = max(trial.target for trial in paused)
    values = state.values_at(rung)
    there = [trial for trial in paused if trial.target == rung]
    return promotion(min(there, key=lambda trial: (values[trial.number], trial.number)))


def has_ended(state: SearchState, space: Space) -> bool:
    """Whether nothing is left to be done."""
    if any(state.missing(trial) for trial in state.trials):
        return False
    if state.is_spent or why_hopeless(state):
        return True
    is_at_end = state.settings.sampler == "grid" and suggest(state, space) is None
    if len(state.trials) < state.num_wanted and not is_at_end:
        return False
    return next_promotion(state) is None and _last_promotion(state) is None


def decision_at_rung(state: SearchState, trial: TrialState) -> Event | None:
    """The line behind that of a rung which a trial has reached: a promotion, or None when it is paused there."""
    if state.is_spent or state.missing(trial) or trial.number not in worth_promoting(state, trial.target):
        return None
    return promotion(trial)


def promotion(trial: TrialState) -> Event:
    """The line that lets a trial go on."""
    return {"event": "promote", "trial": trial.number, "rung": trial.target}


def suggestion_event(state: SearchState, suggestion: Suggestion, versions: dict[str, Any]) -> Event:
    """The line of a proposal, with what the sampler had seen."""
    statuses = [state.status(trial) for trial in state.trials]
    seen = {"lines": state.num_lines} | {status: statuses.count(status) for status in sorted(set(statuses))}
    return {
        "event": "suggest",
        "trial": len(state.trials),
        "values": suggestion,
        "seen": seen,
        "versions": versions,
    }


def why_hopeless(state: SearchState) -> str | None:
    """The reason of the first failures, where nothing but failures came of as many trials."""
    failures = [trial.failure for trial in state.trials if trial.failure is not None]
    others = any(trial.is_complete or trial.members[0].rungs for trial in state.trials)
    if len(failures) < HOPELESS or others:
        return None
    return failures[0]
