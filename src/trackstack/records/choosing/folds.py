"""Cross-validation: what the runs of all folds say together, over seeds, and group by group."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trackstack.records.query import every_run, last_figures
from trackstack.tracking.params import flatten
from trackstack.tracking.sinks import Series

PER_GROUP_FILE = "per_group.csv"


class Fold(NamedTuple):
    """A run that was tested on some groups."""

    groups: tuple[str, ...]
    seed: int
    value: float
    """Of the metric."""
    per_group: dict[str, dict[str, float]]
    """The columns of its table, such as accuracy and windows; empty when they were not recorded."""


def cross_validations(
    home: Path, metric: str, fold: str = "tensor_cache.test", seed: str = "train.seed"
) -> list[dict[str, Any]]:
    """One entry for each set of runs that differ in fold and seed alone, and have more than one fold.

    Of runs with the same fold and seed the newest counts, such as after a change of the code.

    Args:
        fold: the recorded parameter that names what a run was tested on.
        seed: the one that holds its seed.
    """
    folds_of: dict[str, dict[tuple, Fold]] = defaultdict(dict)
    for run in every_run(home):
        params, figures = flatten(run.series.start["params"]), last_figures(run)
        if run.series.status == "finished" and metric in figures and {fold, seed} <= params.keys():
            tested_on, number = params.pop(fold), params.pop(seed)
            groups = tuple(map(str, tested_on)) if isinstance(tested_on, list) else (str(tested_on),)
            result = Fold(groups, number, figures[metric], group_figures(run.series))
            folds_of[json.dumps(params, sort_keys=True)][groups, number] = result
    folds_of = {key: folds for key, folds in folds_of.items() if len({groups for groups, _ in folds}) > 1}
    params_of = {key: json.loads(key) for key in folds_of}
    names = sorted(set().union(*params_of.values()))
    differ = [name for name in names if len({json.dumps(params.get(name)) for params in params_of.values()}) > 1]
    shown = [name for name in dict.fromkeys(("dataset", "train.model", *differ)) if name in names]
    return [
        {"params": {name: params_of[key].get(name) for name in shown}} | summarise_folds(list(folds.values()))
        for key, folds in folds_of.items()
    ]


def summarise_folds(folds: list[Fold]) -> dict[str, Any]:
    """Mean over seeds of the mean over folds, how far folds and seeds lie apart, and each group's figures."""
    by_fold, by_seed, by_group = defaultdict(list), defaultdict(list), defaultdict(list)
    for fold in folds:
        by_fold[fold.groups].append(fold.value)
        by_seed[fold.seed].append(fold.value)
        for group, figures in fold.per_group.items():
            by_group[group].append(figures)
    complete = {seed: values for seed, values in by_seed.items() if len(values) == len(by_fold)}
    means = [float(np.mean(values)) for values in complete.values()]
    return {
        "folds": {", ".join(groups): float(np.mean(values)) for groups, values in sorted(by_fold.items())},
        "seeds": dict(zip(complete, means, strict=True)),
        "mean": float(np.mean(means)) if means else None,
        "spread_folds": float(np.std([np.mean(values) for values in by_fold.values()], ddof=1)),
        "spread_seeds": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "groups": {
            group: {name: float(np.mean([row[name] for row in rows])) for name in rows[0] if name != "windows"}
            | {"windows": int(rows[0]["windows"])}
            for group, rows in sorted(by_group.items(), key=lambda item: (len(item[0]), item[0]))
        },
    }


def group_figures(series: Series) -> dict[str, dict[str, float]]:
    """The columns of a run's table of groups, such as accuracy and windows, by group; empty without one."""
    for artifact in series.artifacts:
        path = series.folder / artifact["path"]
        if path.name == PER_GROUP_FILE and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                return {row.pop("group"): {name: float(row[name]) for name in row} for row in csv.DictReader(file)}
    return {}
