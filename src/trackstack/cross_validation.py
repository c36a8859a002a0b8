"""Cross-validation: what the runs of all folds say together, over seeds, and group by group."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from trackstack.runs import every_run, flatten, last_figures
from trackstack.tracking.sinks import Series

PER_GROUP_FILE = "per_group.csv"
VARIES = ("tensor_cache.test", "train.seed")  # among the runs of one cross-validation


class Fold(NamedTuple):
    """A run that was tested on some groups."""

    groups: tuple[str, ...]
    seed: int
    value: float
    """Of the metric."""
    per_group: dict[str, tuple[float, int]]
    """Accuracy and number of windows; empty when they were not recorded."""


def cross_validations(home: Path, metric: str) -> list[dict[str, Any]]:
    """One entry for each set of runs that differ in test groups and seed alone, and have more than one fold.

    Of runs with the same groups and seed the newest counts, such as after a change of the code.
    """
    sets: dict[str, dict[tuple, Fold]] = defaultdict(dict)
    for told in every_run(home):
        params, figures = flatten(told.series.start["params"]), last_figures(told)
        if told.series.status == "finished" and metric in figures and params.keys() >= set(VARIES):
            groups, seed = (params.pop(name) for name in VARIES)
            fold = Fold(tuple(map(str, groups)), seed, figures[metric], _per_group(told.series))
            sets[json.dumps(params, sort_keys=True)][fold.groups, seed] = fold
    sets = {key: folds for key, folds in sets.items() if len({groups for groups, _ in folds}) > 1}
    params = {key: json.loads(key) for key in sets}
    names = sorted(set().union(*params.values()))
    differ = [name for name in names if len({json.dumps(one.get(name)) for one in params.values()}) > 1]
    return [
        {"params": {name: params[key].get(name) for name in dict.fromkeys(("dataset", "train.model", *differ))}}
        | summarise_folds(list(folds.values()))
        for key, folds in sets.items()
    ]


def summarise_folds(folds: list[Fold]) -> dict[str, Any]:
    """Mean over seeds of the mean over folds, how far folds and seeds lie apart, and each group's accuracy."""
    by_fold, by_seed, by_group = defaultdict(list), defaultdict(list), defaultdict(list)
    for fold in folds:
        by_fold[fold.groups].append(fold.value)
        by_seed[fold.seed].append(fold.value)
        for group, (accuracy, windows) in fold.per_group.items():
            by_group[group].append((accuracy, windows))
    complete = {seed: values for seed, values in by_seed.items() if len(values) == len(by_fold)}
    means = [float(np.mean(values)) for values in complete.values()]
    return {
        "folds": {", ".join(groups): float(np.mean(values)) for groups, values in sorted(by_fold.items())},
        "seeds": dict(zip(complete, means, strict=True)),
        "mean": float(np.mean(means)) if means else None,
        "spread_folds": float(np.std([np.mean(values) for values in by_fold.values()], ddof=1)),
        "spread_seeds": float(np.std(means, ddof=1)) if len(means) > 1 else None,
        "groups": {
            group: {"accuracy": float(np.mean([a for a, _ in values])), "windows": values[0][1]}
            for group, values in sorted(by_group.items(), key=lambda item: (len(item[0]), item[0]))
        },
    }


def _per_group(series: Series) -> dict[str, tuple[float, int]]:
    for artifact in series.artifacts:
        path = series.folder / artifact["path"]
        if path.name == PER_GROUP_FILE and path.exists():
            with path.open(newline="", encoding="utf-8") as file:
                return {row["group"]: (float(row["accuracy"]), int(row["windows"])) for row in csv.DictReader(file)}
    return {}
