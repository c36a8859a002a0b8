"""How rows become windows, when a model is trained and when it is used: NumPy alone."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np


def window_starts(begins: np.ndarray, ends: np.ndarray, window: int, stride: int) -> np.ndarray:
    """First rows of all windows that fit into the ranges; a range shorter than a window has none."""
    counts = np.maximum((ends - begins - window) // stride + 1, 0)
    number_in_range = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return (np.repeat(begins, counts) + stride * number_in_range).astype(np.int64)


def are_in(group_S: np.ndarray, names: Sequence, wanted: Iterable) -> np.ndarray:
    """bool [S]: whether a segment's group, of which `group_S` holds the number in `names`, is one of those wanted."""
    chosen = set(wanted)
    return np.array([name in chosen for name in names], bool)[group_S]
