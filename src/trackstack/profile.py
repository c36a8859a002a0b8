"""Running description of rows, block by block: counts, extremes, mean and spread."""

from __future__ import annotations

from collections import Counter

import numpy as np
import polars as pl

from trackstack.catalog import Contract


class Profile:
    """Running description of the accepted rows: what `profile.json` shows.

    Sums are made with NumPy in float64, block by block, in an order that is the same on every machine.
    """

    def __init__(self, contract: Contract):
        self.contract = contract
        self.rows = 0
        self.columns = {name: _Moments() for name in contract.feature_names()}
        self.classes = Counter(dict.fromkeys(contract.classes, 0))
        self.groups: Counter = Counter()

    def add(self, rows: pl.DataFrame) -> None:
        """Take a block of accepted rows into account."""
        if rows.is_empty():
            return
        self.rows += rows.height
        for name, moments in self.columns.items():
            moments.add(rows[name].to_numpy().astype(np.float64))
        for number, count in rows[self.contract.label].value_counts().iter_rows():
            self.classes[self.contract.classes[number]] += count
        for group, count in rows[self.contract.group].value_counts().iter_rows():
            self.groups[group] += count

    def as_json(self) -> dict:
        """Counts, and per feature count, min, max, mean and standard deviation."""
        return {
            "columns": {name: moments.as_json() for name, moments in self.columns.items()},
            "classes": dict(self.classes),
            "groups": {str(group): self.groups[group] for group in sorted(self.groups)},
        }


class _Moments:
    """Count, extremes, mean and spread of one column, merged block by block (Chan et al. 1979)."""

    def __init__(self):
        self.count, self.mean, self.squares = 0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf

    def add(self, values: np.ndarray) -> None:
        mean = float(values.mean())
        squares = float(np.square(values - mean).sum())
        total = self.count + values.size
        delta = mean - self.mean
        self.squares += squares + delta * delta * self.count * values.size / total
        self.mean += delta * values.size / total
        self.count = total
        self.low, self.high = min(self.low, float(values.min())), max(self.high, float(values.max()))

    def as_json(self) -> dict:
        if self.count == 0:
            return {"count": 0}
        std = float(np.sqrt(self.squares / self.count))
        return {"count": self.count, "min": self.low, "max": self.high, "mean": self.mean, "std": std}
