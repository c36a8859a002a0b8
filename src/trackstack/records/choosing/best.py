"""Settings ranked by the mean of a metric over their runs."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import Any, NamedTuple

import numpy as np

from trackstack import UserError
from trackstack.records.choosing.directions import lower_is_better
from trackstack.records.choosing.selection import is_test
from trackstack.records.choosing.settings import Candidate, comparable
from trackstack.records.query import source_files


class Figure(NamedTuple):
    """A metric of several runs."""

    mean: float
    """NaN when a run has NaN or an infinity, or none has the metric."""
    sd: float | None
    """Of the runs, with n - 1; None of a single one."""


class Setting(NamedTuple):
    """Runs that are equal in all but the parameters that are averaged over."""

    values: dict[str, Any]
    """All that its runs were set to, without the parameters that are averaged over."""
    runs: list[Candidate]
    figure: Figure


def rank(runs: list[Candidate], metric: str, over: list[str], lower_is_better: bool) -> list[Setting]:
    """Settings by the mean of a metric, best first; those with a run that diverged are last.

    Args:
        runs: with the metric, each setting once or executed again.
        over: see `trackstack.records.choosing.settings.averaged_params`.
    """
    members: dict[str, list[Candidate]] = defaultdict(list)
    for run in runs:
        members[comparable(_without(run, over))].append(run)
    settings = [Setting(_without(same[0], over), same, summarise(same, metric)) for same in members.values()]
    sign = 1 if lower_is_better else -1
    return sorted(settings, key=lambda setting: (math.isnan(setting.figure.mean), sign * setting.figure.mean))


def summarise(runs: list[Candidate], metric: str) -> Figure:
    """Mean and standard deviation of a metric over the runs that have it."""
    values = np.array([run.figures[metric] for run in runs if metric in run.figures])
    if not len(values) or not np.isfinite(values).all():
        return Figure(math.nan, None)
    return Figure(float(values.mean()), float(values.std(ddof=1)) if len(values) > 1 else None)


def is_lower_better(metric: str) -> bool:
    """Which end of a metric is the good one, by its name.

    Raises:
        UserError: the name does not say so.
    """
    lower = lower_is_better(metric)
    if lower is None:
        raise UserError(f"--by {metric}: its name does not say which end is better; add --minimize or --maximize")
    return lower


def differing(settings: list[dict[str, Any]]) -> list[str]:
    """The names in which settings differ, those that all have first.

    Of names that some lack, such as the parameters of a chosen model, those that tell apart what the others do not.
    """
    names = list(dict.fromkeys(name for values in settings for name in values))
    by_name = {name: [comparable(values.get(name)) for values in settings] for name in names}
    differ = [name for name in names if len(set(by_name[name])) > 1]
    shown = [name for name in differ if all(name in values for values in settings)]
    for name in differ:
        told_apart = len(set(zip(*(by_name[other] for other in shown), strict=True))) if shown else 1
        more = len(set(zip(*(by_name[other] for other in [*shown, name]), strict=True)))
        if name not in shown and more > told_apart:
            shown.append(name)
    return shown


def counterparts(runs: list[Candidate], metric: str) -> list[str]:
    """The test metric of the same name as a validation metric, else all of them; none for a test metric."""
    names = list(dict.fromkeys(name for run in runs for name in run.figures if is_test(name)))
    same = [name for name in names if name.partition("_")[2] == metric.partition("_")[2]]
    return [] if is_test(metric) else same or names


def unequal_coverage(groups: list[list[Candidate]], over: list[str]) -> str | None:
    """A warning when groups of runs do not have the same values of what is averaged over."""
    found = [{comparable([run.value(name) for name in over]) for run in runs} for runs in groups]
    every = set().union(*found)
    lacking = sum(values != every for values in found)
    if not lacking:
        return None
    return (
        f"{lacking} of {len(groups)} means lack some of the {len(every)} values of {', '.join(over)} that others "
        "have: they are over other runs, and not to be compared"
    )


def mixed_code(groups: list[list[Candidate]]) -> str | None:
    """A warning when one mean is over runs of different code, with the first file in which they differ."""
    for runs in groups:
        of_stages = [run for run in runs if run.series.upstream]
        files = source_files([run.series for run in of_stages]) if len(of_stages) > 1 else [{}] * len(of_stages)
        known = [(run, blobs) for run, blobs in zip(of_stages, files, strict=True) if blobs]
        for run, blobs in known[1:]:
            first, others = known[0]
            if differ := sorted(path for path in blobs.keys() | others.keys() if blobs.get(path) != others.get(path)):
                return (
                    f"{first.key} and {run.key} are averaged and differ in code, such as {differ[0]}; "
                    f"trackstack runs compare {first.key} {run.key} shows all of it"
                )
    return None


def averages(groups: list[list[Candidate]], over: list[str]) -> dict[str, int]:
    """How many values of each parameter the largest mean is over; what is the same in each group is left out."""
    counts = {name: max(len({comparable(run.value(name)) for run in runs}) for runs in groups) for name in over}
    return {name: count for name, count in counts.items() if count > 1}


def in_words(averages: dict[str, int]) -> str:
    """Such as `train.seed (3), tensor_cache.fold (2)`."""
    return ", ".join(f"{name} ({count})" for name, count in averages.items()) or "nothing"


def _without(run: Candidate, over: list[str]) -> dict[str, Any]:
    return {name: value for name, value in run.settings.items() if name not in over}
