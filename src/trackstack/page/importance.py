"""How much each parameter says of a metric by itself, which needs no model and no package.

It is the share of the variance of the metric's ranks that lies between runs of different values, corrected for the
number of values as epsilon squared is: 0 for a parameter without effect, 1 for one that decides all. A number with
many values is cut into groups of equally many runs, so that a best value in the middle is seen. What parameters do
together is not.
"""

from __future__ import annotations

import numpy as np

from trackstack.page.columns import Column

FEWEST, MOST_GROUPS, FEWEST_OF_A_GROUP = 6, 5, 3
"""Runs, below which nothing can be said; and of a number with many values, groups, and runs in each."""
SHUFFLES = 400


def importance(column: Column, metric: list[float | None]) -> float | None:
    """The share of a metric of the same runs; None where nothing can be said."""
    known, groups = _groups(column, metric)
    if groups is None:
        return None
    ranks = _ranks(np.array([metric[place] for place in known], float))
    return round(max(0.0, float(_shares(ranks[None], groups)[0])), 4) if ranks.std() else None


def by_chance(column: Column, metric: list[float | None]) -> float | None:
    """The share that one of twenty parameters with the same values and without effect exceeds: of shuffled runs."""
    known, groups = _groups(column, metric)
    if groups is None:
        return None
    random = np.random.default_rng(0)
    shuffled = random.permuted(np.tile(np.arange(len(known), dtype=float), (SHUFFLES, 1)), axis=1)
    return round(float(np.quantile(_shares(shuffled, groups), 0.95)), 4)


def _groups(column: Column, metric: list[float | None]) -> tuple[list[int], np.ndarray | None]:
    """The runs that have both, and the number of each one's group."""
    known = [place for place, value in enumerate(column.values) if value is not None and metric[place] is not None]
    if len(known) < FEWEST or not column.is_drawn:
        return known, None
    values, groups = np.unique([column.values[place] for place in known], return_inverse=True)
    most = min(MOST_GROUPS, len(known) // FEWEST_OF_A_GROUP)
    if column.is_number and len(values) > most:
        numbers = np.array([column.values[place] for place in known], float)
        bounds = np.unique(np.quantile(numbers, np.arange(1, most) / most))
        _, groups = np.unique(np.searchsorted(bounds, numbers, side="left"), return_inverse=True)
    number = groups.max() + 1
    return known, groups if 1 < number <= len(known) // 2 else None


def _shares(ranks_SN: np.ndarray, groups_N: np.ndarray) -> np.ndarray:
    """The corrected share of the variance between groups, of each row of ranks."""
    members_NG = (groups_N[:, None] == np.arange(groups_N.max() + 1)).astype(float)
    deviations_SN = ranks_SN - ranks_SN.mean(1, keepdims=True)
    between_S = ((deviations_SN @ members_NG) ** 2 / members_NG.sum(0)).sum(1)
    explained_S = between_S / (deviations_SN**2).sum(1)
    freedom = (len(groups_N) - 1) / (len(groups_N) - members_NG.shape[1])
    return 1 - (1 - explained_S) * freedom


def _ranks(values: np.ndarray) -> np.ndarray:
    """Places in order, from 0; equal values share the mean of theirs."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    return (np.cumsum(counts) - (counts + 1) / 2)[inverse]
