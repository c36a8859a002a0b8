"""Which end of a metric is the good one, as far as its name says so."""

from __future__ import annotations

import re

WORDS = re.compile(r"[^a-z0-9]+")
LOWER = {"loss", "error", "err", "mae", "mse", "rmse", "mape", "nll", "perplexity"}
HIGHER = {"accuracy", "acc", "f1", "r2", "auc", "auroc", "precision", "recall", "beta", "iou", "dice"}


def lower_is_better(metric: str) -> bool | None:
    """None where the name does not say so."""
    words = set(WORDS.split(metric.lower()))
    lower, higher = bool(words & LOWER), bool(words & HIGHER)
    return None if lower == higher else lower
