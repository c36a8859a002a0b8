"""The figures of an evaluation: as a whole, by class, by group and by confidence; and the hardest windows.

Those of amounts are in `regression`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support

from pipeline.evaluate.baselines import Baseline
from pipeline.evaluate.params import Params
from pipeline.windows.dataset import WindowDataset

NUM_HARDEST = 6


@dataclass(frozen=True)
class Evaluation:
    """What tables and report show, whatever is predicted."""

    split: str
    metrics: dict[str, float]
    windows: WindowDataset
    per_group: list[tuple]
    """Name, accuracy or mean absolute error, windows."""
    model: dict[str, Any]
    """The model's description, see `pipeline.modeling.saved_model`."""
    params: dict[str, Any]
    """The section `evaluate` of params.yaml."""
    live: Path
    """DVCLive's folder."""
    profile: dict[str, Any]
    """What the stage `parquet` says of the accepted rows."""
    beside: list[Baseline]
    """Models that cost seconds; empty where they were not asked for."""


@dataclass(frozen=True)
class Classification(Evaluation):
    """The evaluation of a model that predicts classes; metrics by the names of `summarise`."""

    actual_W: np.ndarray
    probs_WK: np.ndarray
    per_class: list[tuple]
    """Name, precision, recall, F1, windows."""
    calibration: list[tuple]
    """Confidence, accuracy, windows."""


def measure(windows: WindowDataset, probs_WK: np.ndarray, params: Params, **about: Any) -> Classification:
    """All figures, for tables and report; `about` is what the report shows beside them."""
    actual_W, predicted_W = windows.labels().numpy(), probs_WK.argmax(1)
    bins = calibration(actual_W, probs_WK, params.calibration_bins)
    return Classification(
        metrics=summarise(actual_W, probs_WK, bins),
        windows=windows,
        actual_W=actual_W,
        probs_WK=probs_WK,
        per_class=per_class(actual_W, predicted_W, np.array(windows.cache.metadata["classes"])),
        per_group=per_group(windows.groups(), actual_W == predicted_W),
        calibration=bins,
        params=params.model_dump(),
        **about,
    )


def summarise(actual_W: np.ndarray, probs_WK: np.ndarray, bins: list[tuple]) -> dict[str, float]:
    """The figures for a model as a whole: accuracy, macro F1, cross-entropy, expected calibration error.

    Args:
        bins: see `calibration`.
    """
    numbers = np.arange(probs_WK.shape[1])
    predicted_W = probs_WK.argmax(1)
    # Since Python 3.12 the built-in sum rounds in another way.
    error = math.fsum(abs(confidence - accuracy) * count for confidence, accuracy, count in bins) / len(actual_W)
    return {
        "accuracy": float(accuracy_score(actual_W, predicted_W)),
        "macro_f1": float(f1_score(actual_W, predicted_W, labels=numbers, average="macro", zero_division=0)),
        "loss": float(log_loss(actual_W, probs_WK, labels=numbers)),
        "calibration_error": float(error),
        "windows": len(actual_W),
    }


def per_class(actual_W: np.ndarray, predicted_W: np.ndarray, classes: np.ndarray) -> list[tuple]:
    """Rows of name, precision, recall, F1 and number of windows; 0 where a figure is undefined."""
    figures = precision_recall_fscore_support(actual_W, predicted_W, labels=np.arange(len(classes)), zero_division=0)
    rows = zip(classes.tolist(), *(column.tolist() for column in figures), strict=True)
    return [(name, *shares, int(count)) for name, *shares, count in rows]  # a float where no window is right


def per_group(groups: list, value_W: np.ndarray) -> list[tuple]:
    """Rows of name, mean value (of what is right: accuracy) and number of windows, in the order of the names."""
    names, group_W, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    means = np.bincount(group_W, weights=value_W) / counts
    return list(zip(names.tolist(), means.tolist(), counts.tolist(), strict=True))


def calibration(actual_W: np.ndarray, probs_WK: np.ndarray, num_bins: int) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and size of equally wide bins of confidence, empty ones left out.

    Their weighted mean difference is the expected calibration error (Guo et al. 2017, arXiv 1706.04599).
    """
    confidence_W = probs_WK.max(1)
    correct_W = probs_WK.argmax(1) == actual_W
    bin_W = np.minimum((confidence_W * num_bins).astype(int), num_bins - 1)
    members = [bin_W == number for number in range(num_bins)]
    return [
        (float(confidence_W[inside].mean()), float(correct_W[inside].mean()), int(inside.sum()))
        for inside in members
        if inside.any()
    ]


def wilson(right: int, count: int) -> tuple[float, float]:
    """The 95 % interval of a share by Wilson's score."""
    interval = binomtest(right, count).proportion_ci(method="wilson")
    return float(interval.low), float(interval.high)


def hardest_windows(evaluation: Classification) -> list[int]:
    """The numbers of the windows whose own class has the lowest probability; at most one of each recording."""
    likely_W = evaluation.probs_WK[np.arange(len(evaluation.actual_W)), evaluation.actual_W]
    return lowest_windows(evaluation.windows, likely_W)


def lowest_windows(windows: WindowDataset, value_W: np.ndarray) -> list[int]:
    """The numbers of the windows with the lowest value, at most one of each recording."""
    segment_W = windows.segments().numpy()
    order = np.argsort(value_W, kind="stable")
    _, first = np.unique(segment_W[order], return_index=True)
    return order[np.sort(first)][:NUM_HARDEST].tolist()
