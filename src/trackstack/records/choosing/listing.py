"""Which runs a list shows, in which order, and what of each: `trackstack runs list` and `trackstack.runs()`."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.choosing.directions import lower_is_better
from trackstack.records.index.rows import FACTS, IndexedRun, param_names
from trackstack.records.where import RunValues, known_names, read_where, refuse_ambiguous, refuse_unknown

USUAL_METRICS = ("val_accuracy", "test_accuracy", "val_r2", "test_r2")
"""What a list shows first of runs that have them."""


class Chosen(NamedTuple):
    """The runs that were asked for."""

    runs: list[IndexedRun]
    metrics: list[str]
    """Those that they have: the usual ones, then those that most of them have."""


def choose_runs(
    every: Iterable[IndexedRun],
    where: str | None = None,
    user: str | None = None,
    sweep: str | None = None,
    tag: str | None = None,
    last: int | None = None,
    sort: str | None = None,
) -> Chosen:
    """The runs that fulfil all conditions.

    Args:
        every: oldest first.
        where: see `trackstack.records.where`; besides parameters and metrics, what stands in `FACTS`, which comes
            before a parameter of the same name.
        last: so many of them, the newest.
        sort: by this name, upwards; with a minus before it downwards. Runs without a value come last.

    Raises:
        UserError: a name, person, sweep or tag that no run has.
    """
    runs = list(every)
    for option, value, of in (
        ("--user", user, lambda run: [run.facts["user"]]),
        ("--sweep", sweep, lambda run: sweep_names(run.facts["sweep"])),
        ("--tag", tag, lambda run: run.facts["tagged"]),
    ):
        if value is not None:
            runs = _with(option, value, [(run, of(run)) for run in runs])
    if where is not None:
        runs = _those_where(runs, where)
    runs = runs[-last:] if last is not None else runs
    if sort is not None:
        runs = _sorted(runs, sort)
    return Chosen(runs, _metrics(runs))


def values_of(run: IndexedRun) -> RunValues:
    """What names mean in a run, in conditions, columns and orders alike."""
    return RunValues(run.figures, run.best, lambda: run.params, run.facts)


def refuse_unknown_names(option: str, names: Collection[str], runs: list[IndexedRun]) -> None:
    """Raise a UserError for a name that no run has, or that can mean two things.

    Args:
        runs: among which there is one with each name.
    """
    figures = {name for run in runs for name in run.figures}
    params = param_names(runs)
    refuse_ambiguous(option, names, params, figures)
    hint = "; a text stands in quotes: 'train.model == \"cnn\"'" if option == "--where" else ""
    unknown = [name for name in names if name not in known_names(params, figures) | set(FACTS)]
    refuse_unknown(option, unknown, figures | params, hint, "run")
    for name in names:
        kind, _, metric = name.partition(".")
        if kind == "best" and name not in params and lower_is_better(metric) is None:
            raise UserError(f"{option} {name}: the name of {metric} does not say which end of it is better")


def sweep_names(sweep: str | None) -> list[str | None]:
    """A sweep's whole name, and the one that a person gave it, which has a digest behind it."""
    return [sweep] if sweep is None else list(dict.fromkeys([sweep, sweep.rpartition("-")[0] or sweep]))


def _with(option: str, value: str, known: list[tuple[IndexedRun, list[str | None]]]) -> list[IndexedRun]:
    runs = [run for run, values in known if value in values]
    if not runs:
        names = sorted({str(name) for _, values in known for name in values if name})
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        raise UserError(f"{option} {value}: no run of that name; there are runs of: {shown or 'nobody'}")
    return runs


def _those_where(runs: list[IndexedRun], where: str) -> list[IndexedRun]:
    condition = read_where(where)
    refuse_unknown_names("--where", condition.names, runs)
    return [run for run in runs if condition.matches(values_of(run))]


def _sorted(runs: list[IndexedRun], sort: str) -> list[IndexedRun]:
    name, is_down = sort.removeprefix("-"), sort.startswith("-")
    refuse_unknown_names("--sort", [name], runs)
    known: list[tuple[IndexedRun, Any]] = []
    without: list[tuple[IndexedRun, Any]] = []
    for run in runs:
        value = values_of(run).get(name)
        (without if _is_nothing(value) else known).append((run, value))
    known.sort(key=lambda one: _order(one[1]), reverse=is_down)
    return [run for run, _ in (*known, *without)]


def _is_nothing(value: Any) -> bool:
    return value is None or (isinstance(value, float) and math.isnan(value))


def _order(value: Any) -> tuple[int, Any]:
    """Numbers before texts."""
    return (0, value) if isinstance(value, int | float) else (1, str(value))


def _metrics(runs: list[IndexedRun]) -> list[str]:
    counts = Counter(name for run in runs for name in run.figures)
    usual = [name for name in USUAL_METRICS if name in counts]
    return list(dict.fromkeys([*usual, *(name for name, _ in counts.most_common())]))
