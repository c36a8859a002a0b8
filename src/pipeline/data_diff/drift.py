"""How far two distributions lie apart: population stability index and Kolmogorov-Smirnov statistic."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

SOME_DRIFT, MUCH_DRIFT = 0.1, 0.25
"""Of the population stability index, as a rule of thumb (N. Siddiqi, Credit Risk Scorecards, Wiley 2006). It knows no
number of rows: between samples of n and m rows from one distribution the index is about (B - 1)(1/n + 1/m) for B bins
(B. Yurdakul, Statistical Properties of Population Stability Index, Western Michigan University 2018)."""
LEAST_SHARE = 1e-4
"""In the place of the share of a bin without rows, whose logarithm would be infinite."""


def stability_of_counts(before: Iterable[float], after: Iterable[float]) -> float | None:
    """The population stability index: the sum of (after - before) ln(after / before) over the shares of bins.

    Args:
        before, after: rows of each bin, in the same order.

    Returns:
        0 where the shares are equal; None where one side has no rows.
    """
    counts_SB = np.array([list(before), list(after)], np.float64)
    rows_S = counts_SB.sum(axis=1)
    if not rows_S.all():
        return None
    old_B, new_B = np.maximum(counts_SB / rows_S[:, None], LEAST_SHARE)
    return float(np.sum((new_B - old_B) * np.log(new_B / old_B)))


def stability_of_values(before: np.ndarray, after: np.ndarray) -> float | None:
    """The same of numbers: the bins are the deciles of `before`, and one for missing values (NaN).

    A value that several deciles share is a bin of its own, so that a column of few values is compared by them.
    """
    edges = _bin_edges(before)
    return stability_of_counts(_count_bins(before, edges), _count_bins(after, edges))


def _bin_edges(values: np.ndarray) -> np.ndarray:
    """A bin ends with its edge."""
    present = values[~np.isnan(values)].astype(np.float64)
    if not present.size:
        return present
    deciles = np.quantile(present, np.arange(1, 10) / 10, method="inverted_cdf")
    edges, times = np.unique(deciles, return_counts=True)
    return np.union1d(edges, np.nextafter(edges[times > 1], -np.inf))


def _count_bins(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    present = values[~np.isnan(values)].astype(np.float64)
    counts = np.bincount(np.searchsorted(edges, present), minlength=len(edges) + 1)
    return np.append(counts, values.size - present.size)


def largest_distance(before: np.ndarray, after: np.ndarray) -> float | None:
    """The Kolmogorov-Smirnov statistic: the largest distance between the distribution functions, from 0 to 1.

    Missing values (NaN) are left out; None where one side has no others.
    """
    from scipy.stats import ks_2samp  # half a second to import

    present = [values[~np.isnan(values)] for values in (before, after)]
    return float(ks_2samp(*present, method="asymp").statistic) if all(map(len, present)) else None


def drift_in_words(index: float | None) -> str:
    """What the rule of thumb says of a population stability index; nothing below its first threshold."""
    if index is None or index < SOME_DRIFT:
        return ""
    return "some drift" if index < MUCH_DRIFT else "much drift"
