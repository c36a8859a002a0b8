"""How far predicted amounts lie from the actual ones: the same figures while training and in the evaluation."""

from __future__ import annotations

import numpy as np


def amount_figures(predicted_WK: np.ndarray, actual_WK: np.ndarray, std_K: np.ndarray) -> dict[str, float]:
    """Loss, MAE, RMSE and R2 of amounts [W, K] in their own units: means over the targets.

    The loss is the mean squared error in standard deviations of the training rows. R2 is 1 for no error at all; where
    all actual amounts are equal, which leaves nothing to explain, it is 0 for any error, as in scikit-learn.

    Args:
        std_K: of the training rows.
    """
    actual_WK = actual_WK.astype(np.float64)
    error_WK = predicted_WK - actual_WK
    squared_K = np.square(error_WK).mean(0)
    variance_K = np.square(actual_WK - actual_WK.mean(0)).mean(0)
    constant_K = np.where(squared_K == 0, 1.0, 0.0)
    r2_K = np.where(variance_K > 0, 1 - squared_K / np.where(variance_K > 0, variance_K, 1), constant_K)
    return {
        "loss": float(np.square(error_WK / std_K).mean()),
        "mae": float(np.abs(error_WK).mean()),
        "rmse": float(np.sqrt(squared_K).mean()),
        "r2": float(r2_K.mean()),
    }
