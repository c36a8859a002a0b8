"""The figures of predicted amounts: as a whole, by target and by group; and the windows that lie farthest off."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.evaluate.figures import Evaluation, lowest_windows, per_group
from pipeline.evaluate.params import Params
from pipeline.modeling.amounts import amount_figures
from pipeline.windows.dataset import WindowDataset


@dataclass(frozen=True)
class Regression(Evaluation):
    """The evaluation of a model that predicts amounts; metrics by the names of `amount_figures`, and windows."""

    actual_WK: np.ndarray
    predicted_WK: np.ndarray
    """Both in the targets' own units."""
    std_K: np.ndarray
    """Of the training rows."""
    per_target: list[tuple]
    """Name, unit, MAE, RMSE, R2."""


def measure_amounts(windows: WindowDataset, predicted_WK: np.ndarray, params: Params, **about: Any) -> Regression:
    """All figures, for tables and report; `about` is what the report shows beside them."""
    actual_WK, std_K = windows.labels().numpy(), windows.cache.target_std.numpy()
    targets = windows.cache.metadata["targets"]
    by_target = [amount_figures(predicted_WK[:, [at]], actual_WK[:, [at]], std_K[[at]]) for at in range(len(targets))]
    return Regression(
        metrics={**amount_figures(predicted_WK, actual_WK, std_K), "windows": len(actual_WK)},
        windows=windows,
        actual_WK=actual_WK,
        predicted_WK=predicted_WK,
        std_K=std_K,
        per_target=[
            (target["name"], target["unit"], *(figures[name] for name in ("mae", "rmse", "r2")))
            for target, figures in zip(targets, by_target, strict=True)
        ],
        per_group=per_group(windows.groups(), np.abs(predicted_WK - actual_WK).mean(1)),
        params=params.model_dump(),
        **about,
    )


def farthest_windows(evaluation: Regression) -> list[int]:
    """The numbers of the windows with the largest error in standard deviations; at most one of each recording."""
    error_WK = np.abs(evaluation.predicted_WK - evaluation.actual_WK) / evaluation.std_K
    return lowest_windows(evaluation.windows, -error_WK.max(1))
