"""How rows become windows, when a model is trained and when it is used: NumPy alone."""

from __future__ import annotations

import numpy as np


def window_starts(begins: np.ndarray, ends: np.ndarray, window: int, stride: int) -> np.ndarray:
    """First rows of all windows that fit into the ranges; a range shorter than a window has none."""
    counts = np.maximum((ends - begins - window) // stride + 1, 0)
    number_in_range = np.arange(counts.sum()) - np.repeat(np.cumsum(counts) - counts, counts)
    return (np.repeat(begins, counts) + stride * number_in_range).astype(np.int64)


def normalise(rows_NC: np.ndarray, mean_C: np.ndarray, std_C: np.ndarray) -> np.ndarray:
    """Rows float32 [N, C] in standard deviations from the training rows' mean; what is missing is the mean."""
    return np.nan_to_num((rows_NC - mean_C) / std_C, copy=False)
