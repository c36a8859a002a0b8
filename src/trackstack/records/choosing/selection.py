"""The runs that a question is about, and what must not be asked while one chooses: test figures."""

from __future__ import annotations

import re
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError
from trackstack.records.choosing.settings import Candidate, read_candidates
from trackstack.records.where import RunValues, known_names, read_where, refuse_ambiguous, refuse_unknown

BEST_OR_LAST = re.compile(r"^(metrics|best)\.")
TEST = re.compile(r"test($|[_./-])", re.IGNORECASE)


class Selection(NamedTuple):
    """The runs that a question is about."""

    runs: list[Candidate]
    """Oldest first, each with the metric."""
    notes: list[str]
    """What was left out, a line each."""
    tested: list[Candidate]
    """With `test`, those that have test figures; all of them where these decided."""
    tests: list[str]
    """The test metrics that decided."""


def is_test(metric: str) -> bool:
    """Whether a metric is of the test split, by its name: `test_accuracy`."""
    return TEST.match(metric) is not None


def refuse_test(option: str, hidden: set[str], shown: set[str]) -> None:
    """Raise a UserError for a test figure that an option asks for, with the metric to choose by in its place."""
    for name in sorted(hidden):
        validation = TEST.sub("val_", name, count=1)
        instead = validation if validation in shown else "a validation figure"
        raise UserError(
            f"{option} {name}: test figures are hidden while you choose; choose by {instead}, and when all is "
            "chosen, add --test, which is noted in the record"
        )


def select_runs(home: Path, metric: str, where: str | None = None, test: bool = False) -> Selection:
    """The finished and whole runs of a home that have a metric and fulfil a condition.

    Args:
        where: see `trackstack.records.where`.
        test: whether test figures may be used.

    Raises:
        UserError: no such run, a name that no run has, or a test figure without `test`.
    """
    every, notes = read_candidates(home)
    figures = {name for run in every for name in run.figures}
    shown = {name for name in figures if test or not is_test(name)}
    refuse_test("--by", figures & {metric} - shown, shown)
    refuse_unknown("--by", [metric], shown)
    runs, names = runs_where(every, where, shown) if where is not None else (every, [])
    if where is not None:
        notes.append(f"--where: {len(runs)} of {len(every)} finished runs")
    if without := [run.key for run in runs if metric not in run.figures]:
        notes.append(f"left out: {len(without)} without {metric}: {_some(without)}")
    runs = [run for run in runs if metric in run.figures]
    if not runs:
        raise UserError("; ".join([f"no finished run with {metric} is left", *notes]))
    looked_at = every if any(map(is_test, names)) else runs
    tested = [run for run in looked_at if test and any(map(is_test, run.figures))]
    return Selection(runs, notes, tested, [name for name in names if is_test(name)])


def runs_where(runs: list[Candidate], where: str, shown: set[str]) -> tuple[list[Candidate], list[str]]:
    """The runs that fulfil a condition, and the metrics in it.

    Args:
        shown: the metrics that it may have; see `refuse_test`.

    Raises:
        UserError: a name that no run has, one with two meanings, or a test figure that is not shown.
    """
    condition = read_where(where)
    params = set().union(*(run.names for run in runs))
    figures = {name for run in runs for name in run.figures}
    refuse_ambiguous("--where", condition.names, params, figures)
    metrics = [BEST_OR_LAST.sub("", name) for name in condition.names if name not in params]
    metrics = [name for name in metrics if name in figures]
    refuse_test("--where", set(metrics) - shown, shown)
    unknown = [name for name in condition.names if name not in known_names(params, figures)]
    refuse_unknown("--where", unknown, params | shown, "; a text stands in quotes: 'train.model == \"cnn\"'")
    return [run for run in runs if condition.matches(_values(run))], metrics


def _values(run: Candidate) -> RunValues:
    return RunValues(run.figures, run.best, lambda: run.settings | run.params, {})


def _some(keys: list[str]) -> str:
    return ", ".join(keys[:5]) + (", ..." if len(keys) > 5 else "")
