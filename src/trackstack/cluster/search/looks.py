"""A search as people look at it: a line per event, a row per trial, and whether its decisions can be repeated."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from trackstack.cluster.search import Search, is_search, load_search
from trackstack.cluster.search.decide import decision_at_rung, has_ended, next_decision, why_hopeless
from trackstack.cluster.search.log import Event, read_events
from trackstack.cluster.search.sampler import refuse_absent_packages, versions_of
from trackstack.cluster.search.space import overrides_of, parse_space
from trackstack.cluster.search.state import SearchState, TrialState
from trackstack.cluster.search.units import unit_of
from trackstack.cluster.sweep import SHARED, Sweep, TrialStatus, count_states
from trackstack.cluster.sweep import summary as summary_of_sweep
from trackstack.system.lease import is_live

DECISIONS = ("suggest", "promote")


def read_state(search: Search) -> SearchState:
    """What the log says now."""
    return SearchState(search.settings, read_events(search.log))


def is_over(search: Search) -> bool:
    """Whether nothing is left to be done."""
    return has_ended(read_state(search), parse_space(search.settings.space, search.name))


def describe_event(search: Search, event: Event) -> str:
    """A line for a person; empty where there is nothing to say."""
    kind, settings = event["event"], search.settings
    if kind in ("begin", "spent"):
        return ""
    member = f" ({event['member']})" if "member" in event and len(settings.over) > 1 else ""
    trial = f"trial {event['trial']}{member}"
    if kind == "suggest":
        return f"{trial}: {describe_values(event['values'])}"
    if kind == "rung":
        steps = settings.rung(event["rung"])
        return f"{trial}: {settings.metrics[0].name} {describe_number(event['value'])} at {steps} steps"
    if kind == "promote":
        return f"{trial}: goes on beyond {settings.rung(event['rung'])} steps"
    if kind == "again":
        return f"{trial}: again from step {event['step']}: no checkpoint was kept at the rung that it had reached"
    if kind == "fail":
        return f"{trial}: failed: {event['reason']}"
    pairs = zip(settings.metrics, event["values"], strict=True)
    return f"{trial}: finished, {', '.join(f'{metric.name} {describe_number(value)}' for metric, value in pairs)}"


def describe_values(values: dict[str, Any]) -> str:
    """A proposal in one line, numbers to four digits."""
    return " ".join(f"{name}={describe_number(value)}" for name, value in values.items())


def describe_number(value: Any) -> str:
    """To four digits; what is no number as JSON, a text without quotes."""
    if isinstance(value, float):
        return f"{value:.4g}"
    if value is None:
        return "none"
    return value if isinstance(value, str) else json.dumps(value)


def overview(sweep: Sweep) -> tuple[dict[str, Any], str]:
    """A sweep or a search as `status` shows it: what its trials share, a row for each of them, and a line for all."""
    statuses = sweep.statuses(is_live(sweep.folder))
    shown = {"shared": {"trial": SHARED, "parameters": sweep.shared, **_shown(statuses[SHARED])}}
    if is_search(sweep.folder):
        search = load_search(sweep.folder)
        state = read_state(search)
        found = rows(search, state)
        line = summary(search, state, [row["state"] for row in found])
        return {"search": sweep.name, **shown, "trials": found}, line
    found = [{"trial": name, "parameters": overrides, **_shown(statuses[name])} for name, overrides in sweep.trials]
    return {"sweep": sweep.name, **shown, "trials": found}, summary_of_sweep(statuses)


def _shown(status: TrialStatus) -> dict[str, Any]:
    return {name: value for name, value in vars(status).items() if name != "step"}


def rows(search: Search, state: SearchState) -> list[dict[str, Any]]:
    """A row for each trial, as `status` shows it; `attempts` counts all starts of its members."""
    return [_row(search, state, trial) for trial in state.trials]


def _row(search: Search, state: SearchState, trial: TrialState) -> dict[str, Any]:
    status = state.status(trial)
    notes = [search.sweep.status(search.unit_name(trial.number, member)) for member in range(len(trial.members))]
    if status == "begun":
        units = [unit_of(search, state, trial.number, member) for member in state.missing(trial)]
        was_cut_short = any(note.state in ("running", "interrupted") for note in notes)
        status = "interrupted" if was_cut_short else "waiting"  # or promoted, and nobody was free yet
        status = "running" if any(is_live(unit.folder) for unit in units) else status
    last = next((note for note in reversed(notes) if note.state != "waiting"), TrialStatus())
    reason = trial.failure or (last.reason if status == "interrupted" else "")
    attempts = trial.starts + sum(note.state == "running" for note in notes)
    seconds = math.fsum(note.seconds for note in notes)
    reached = min(len(member.rungs) for member in trial.members)
    metrics: dict[str, float | None] = dict.fromkeys(metric.name for metric in search.settings.metrics)
    figures = trial.figures() if trial.is_complete else [trial.value_at(reached - 1) if reached else None]
    return {
        "trial": trial.number,
        "parameters": overrides_of(trial.values),
        **_shown(TrialStatus(status, reason, attempts, last.job, last.run, seconds)),
        "values": trial.values,
        "steps": None if trial.is_complete or not reached else search.settings.rung(reached - 1),
        "metrics": metrics | dict(zip(metrics, figures, strict=False)),
        "hours": trial.hours,
    }


def best(state: SearchState) -> list[TrialState]:
    """The finished trials, best first by the first metric; those without a number are left out."""
    metric = state.settings.metrics[0]
    done = [trial for trial in state.trials if state.status(trial) == "finished"]
    known = [trial for trial in done if trial.figures()[0] == trial.figures()[0]]
    return sorted(known, key=lambda trial: trial.figures()[0], reverse=not metric.lower_is_better)


def summary(search: Search, state: SearchState, states: list[str]) -> str:
    """One line: how many trials are how far, and why no more come."""
    counted = count_states(zip(states, (trial.failure or "" for trial in state.trials), strict=True))
    line = f"{len(state.trials)} of {state.num_wanted} trials: " + (", ".join(counted) or "none yet")
    if repeated := sum(trial.num_repeats > 0 for trial in state.trials):
        line += f"; {repeated} began again before a rung that they had reached: no checkpoint was kept there"
    if state.settings.prune != "none" and "finished" in states and not state.num_compared:
        line += f"; --prune {state.settings.prune} compared none: no figure came while a training ran"
    if state.is_spent:
        line += f"; the budget of {state.budget:g} hours is used up"
    elif reason := why_hopeless(state):
        line += f"; no more come, since the first ones failed: {reason}"
    return line


def replay(search: Search) -> Iterator[str]:
    """Compute every decision again from the lines before it; yield a line for each that is another now."""
    settings = search.settings
    refuse_absent_packages(settings.sampler)
    space = parse_space(settings.space, search.name)
    versions = versions_of(settings.sampler)
    state, previous = SearchState(settings), dict[str, Any]()
    for number, event in enumerate(read_events(search.log), 1):
        # Behind the line of a rung; or by whoever was free, be it that a kill came between those two lines.
        if event["event"] in DECISIONS and event != _decision_before(state, previous):
            expected = next_decision(state, space, event.get("versions", versions))
            if expected is None:
                yield f"line {number}: {_said(event)}, and now nothing would be decided"
            elif expected != event:
                yield f"line {number}: {_said(event)}, and now it would be {_said(expected)}" + _other(
                    event, versions
                )
        state.add(event)
        previous = event


def _decision_before(state: SearchState, previous: Event) -> Event | None:
    """What has to come behind the line of a rung."""
    if previous.get("event") != "rung":
        return None
    trial = state.trials[previous["trial"]]
    return decision_at_rung(state, trial) if trial.target == previous["rung"] else None


def _said(event: Event) -> str:
    if event["event"] == "suggest":
        return f"trial {event['trial']} with {describe_values(event['values'])}"
    return f"{event['event']} of trial {event['trial']}"


def _other(event: Event, versions: dict[str, str]) -> str:
    before = event.get("versions", versions)
    changed = [
        f"{name} {before[name]} then, {versions[name]} now" for name in before if before[name] != versions[name]
    ]
    return f" ({', '.join(changed)})" if changed else ""


def history(state: SearchState) -> list[str]:
    """How the best came to be: a line for each finished trial that was better than all before it."""
    metric = state.settings.metrics[0]
    lines, top = [], None
    for trial in state.trials:
        if state.status(trial) != "finished":
            continue
        value = trial.figures()[0]
        if value == value and (top is None or (value < top if metric.lower_is_better else value > top)):
            top = value
            lines.append(f"trial {trial.number}: {metric.name} {describe_number(value)}")
    return lines
