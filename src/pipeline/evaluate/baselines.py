"""What costs seconds, and what a network must beat: the most frequent class or the mean, and boosted trees."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, r2_score
from threadpoolctl import threadpool_limits

from pipeline.windows.dataset import WindowDataset

MOST_WINDOWS = 20_000
MOST_NUMBERS = 1_000_000
"""Training windows times columns; beyond, and beyond `MOST_WINDOWS`, every nth window is taken."""
MOST_TREES = 1000
"""A tree for each class and round: many classes have fewer rounds."""
MOST_ROUNDS = 100
CHUNK = 4096


class Baseline(NamedTuple):
    """A model that costs seconds, measured on the same windows."""

    name: str
    first: float
    """Accuracy, or R2 (the mean over the targets)."""
    second: float
    """Macro F1, or the mean absolute error."""
    windows: int
    """Training windows that it saw."""


def baselines(train: WindowDataset, test: WindowDataset, task: str) -> list[Baseline]:
    """Fit on the training windows, measure on the test windows; equal for the same cache.

    Args:
        task: `classification`, with labels int64 [W], or `regression`, with targets float32 [W] or [W, K].
    """
    width = train.channels * (4 if train.window > 1 else 1)
    every = -(-len(train) // min(MOST_WINDOWS, max(1, MOST_NUMBERS // width)))
    chosen = torch.arange(0, len(train), max(1, every))
    known_W, actual_W = train.labels().numpy(), test.labels().numpy()
    simple = _most_frequent(known_W) if task == "classification" else known_W.mean(0, dtype=np.float64)
    guesses = np.broadcast_to(simple, actual_W.shape)
    with threadpool_limits(limits=1):  # the order of sums
        trees = _boosted_trees(summaries(train, chosen), known_W[chosen.numpy()], summaries(test), task)
    name = "most frequent class" if task == "classification" else "mean"
    return [
        Baseline(name, *_figures(actual_W, guesses, task), len(train)),
        Baseline("boosted trees", *_figures(actual_W, trees, task), len(chosen)),
    ]


def summaries(windows: WindowDataset, index_W: torch.Tensor | None = None) -> np.ndarray:
    """What the trees see: a row float32 [W, C], or each channel's mean, deviation and extremes, [W, 4C]."""
    chosen = torch.arange(len(windows)) if index_W is None else index_W
    parts = [windows.batch(index_B)[0].numpy() for index_B in chosen.split(CHUNK)]
    if windows.window == 1:
        return np.concatenate([part[:, 0] for part in parts])
    return np.concatenate([np.hstack([part.mean(1), part.std(1), part.min(1), part.max(1)]) for part in parts])


def _boosted_trees(known_WD: np.ndarray, known_W: np.ndarray, asked_WD: np.ndarray, task: str) -> np.ndarray:
    if task == "classification":
        classes = np.unique(known_W)
        if len(classes) == 1:
            return np.full(len(asked_WD), classes[0])
        rounds = max(1, min(MOST_ROUNDS, MOST_TREES // len(classes)))
        model = HistGradientBoostingClassifier(max_iter=rounds, early_stopping=False, random_state=0)
        return model.fit(known_WD, known_W).predict(asked_WD)
    targets = known_W.reshape(len(known_W), -1)
    one = HistGradientBoostingRegressor(max_iter=MOST_ROUNDS, early_stopping=False, random_state=0)
    columns = [one.fit(known_WD, target_W).predict(asked_WD) for target_W in targets.T]
    return np.column_stack(columns).reshape(len(asked_WD), *known_W.shape[1:])


def _figures(actual_W: np.ndarray, predicted_W: np.ndarray, task: str) -> tuple[float, float]:
    if task == "classification":
        classes = np.unique(np.concatenate([actual_W, predicted_W]))
        f1 = f1_score(actual_W, predicted_W, labels=classes, average="macro", zero_division=0)
        return float(accuracy_score(actual_W, predicted_W)), float(f1)
    return float(r2_score(actual_W, predicted_W)), float(mean_absolute_error(actual_W, predicted_W))


def _most_frequent(labels_W: np.ndarray) -> int:
    return int(np.bincount(labels_W).argmax())
