"""Count, extremes, mean and spread of a column, merged block by block: for the profile and for normalising."""

from __future__ import annotations

import numpy as np


class Moments:
    """Count, nulls, extremes, mean and spread of one column, merged block by block (Chan et al. 1979)."""

    def __init__(self) -> None:
        self.count, self.nulls, self.mean, self.squares = 0, 0, 0.0, 0.0
        self.low, self.high = np.inf, -np.inf

    @classmethod
    def of(cls, values: np.ndarray) -> Moments:
        """Of float32 values; NaN stands for null."""
        moments = cls()
        present = values
        low = values.min() if values.size else np.nan  # NaN when one is NaN
        if np.isnan(low):
            present = values[~np.isnan(values)]
            moments.nulls = values.size - present.size
            if present.size == 0:
                return moments
            low = present.min()
        moments.count = present.size
        moments.low, moments.high = float(low), float(present.max())
        wide = present.astype(np.float64)
        with np.errstate(invalid="ignore"):  # an infinite value is for the caller to refuse
            moments.mean = float(wide.mean())
            wide -= moments.mean
            np.square(wide, out=wide)
            moments.squares = float(wide.sum())
        return moments

    def merge(self, other: Moments) -> None:
        """Take the moments of later rows into account."""
        self.nulls += other.nulls
        if other.count == 0:
            return
        total = self.count + other.count
        delta = other.mean - self.mean
        self.squares += other.squares + delta * delta * self.count * other.count / total
        self.mean += delta * other.count / total
        self.count = total
        self.low, self.high = min(self.low, other.low), max(self.high, other.high)

    def dump(self) -> dict:
        """Of plain values, from which `load` makes them again, to the last bit."""
        bounds = {"low": self.low, "high": self.high} if self.count else {}
        return {"count": self.count, "nulls": self.nulls, "mean": self.mean, "squares": self.squares, **bounds}

    @classmethod
    def load(cls, values: dict) -> Moments:
        """What `dump` gave."""
        moments = cls()
        for name in ("count", "nulls", "mean", "squares"):
            setattr(moments, name, values[name])
        moments.low, moments.high = values.get("low", np.inf), values.get("high", -np.inf)
        return moments

    def std(self) -> float:
        """Standard deviation of the population."""
        return float(np.sqrt(self.squares / self.count)) if self.count else 0.0

    def as_json(self) -> dict:
        """What `profile.json` shows."""
        if self.count == 0:
            return {"count": 0, "nulls": self.nulls}
        counts = {"count": self.count, "nulls": self.nulls}
        return counts | {"min": self.low, "max": self.high, "mean": self.mean, "std": self.std()}
