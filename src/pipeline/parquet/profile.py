"""Running description of rows, block by block: counts, nulls, extremes, mean, spread and quantiles."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from pipeline.contract.catalog import Contract
from pipeline.contract.moments import Moments

if TYPE_CHECKING:
    import polars as pl

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MAX_SAMPLED_VALUES = 1 << 21
MIN_SAMPLED_ROWS = 1 << 10


class Profile:
    """Running description of the accepted rows: what `profile.json` shows.

    Sums are made with NumPy in float64, block by block, in an order that is the same on every machine.
    """

    def __init__(self, contract: Contract):
        self.contract = contract
        self.rows = 0
        self.columns = {name: Moments() for name in contract.amounts()}
        self.categories = {feature.name: dict.fromkeys(feature.categories, 0) for feature in contract.categories()}
        self.classes = Counter(dict.fromkeys(contract.classes, 0))
        self.groups: Counter = Counter()
        self._sample = _Sample(list(self.columns))

    def add(self, rows: pl.DataFrame, moments: dict[str, Moments]) -> None:
        """Take a block of accepted rows and its `block_moments` into account."""
        if rows.is_empty():
            return
        self._sample.add(rows, self.rows)
        self.rows += rows.height
        for name, column in self.columns.items():
            column.merge(moments[name])
        for name, categories in self.categories.items():
            for category, count in rows[name].drop_nulls().alias("category").value_counts(name="rows").iter_rows():
                categories[category] += count
        if self.contract.label:
            counts = np.bincount(rows[self.contract.label].to_numpy(), minlength=len(self.contract.classes))
            for name, count in zip(self.contract.classes, counts.tolist(), strict=True):
                self.classes[name] += count
        if self.contract.group:
            for count, group in rows[self.contract.group].rle().struct.unnest().iter_rows():
                self.groups[group] += count

    def as_json(self) -> dict:
        """Counts, and per feature and target count, nulls, min, max, mean, standard deviation and quantiles, or the
        rows of each category."""
        quantiles = self._sample.quantiles()
        columns: dict[str, dict] = {
            name: {**column.as_json(), "quantiles": quantiles[name]} for name, column in self.columns.items()
        }
        for name, categories in self.categories.items():
            count = sum(categories.values())
            columns[name] = {"count": count, "nulls": self.rows - count, "categories": categories}
        targets = {name: columns[name] for name in self.contract.target_names()}
        return {
            "columns": {name: columns[name] for name in self.contract.feature_names()},
            "quantiles_of_rows": self._sample.num_rows,
            **({"targets": targets} if targets else {"classes": dict(self.classes)}),
            "groups": {str(group): self.groups[group] for group in sorted(self.groups)},
        }


def block_moments(rows: pl.DataFrame, contract: Contract) -> dict[str, Moments]:
    """The moments of each feature but for categories, and of each target, of some rows; may run in any thread."""
    return {name: Moments.of(rows[name].to_numpy()) for name in contract.amounts()}


class _Sample:
    """One row of every 2^level, for quantiles: all of them while they are few, then one drawn from each stretch.

    Of 2^level neighbours one is drawn by a fixed rule that depends on its number alone, so that the sample is the
    same whatever the blocks, and that of a level is part of the one before.
    """

    def __init__(self, features: list[str]):
        self._features = features
        self._level = 0
        self._most = max(MIN_SAMPLED_ROWS, MAX_SAMPLED_VALUES // max(1, len(features)))
        self._numbers = np.empty(0, np.int64)
        self._values: list[np.ndarray] = []
        self.num_rows = 0

    def add(self, rows: pl.DataFrame, first: int) -> None:
        """Draw from rows of which the first has this number."""
        if not self._features:
            return
        numbers = self._drawn(first, first + rows.height)
        at = numbers - first if self._level else slice(None)
        self._values.append(np.column_stack([rows[name].to_numpy()[at] for name in self._features]))
        self._numbers = np.concatenate([self._numbers, numbers])
        self.num_rows += len(numbers)
        while self.num_rows > self._most:
            self._level += 1
            kept = np.isin(self._numbers, self._drawn(0, first + rows.height), assume_unique=True)
            self._values = [np.concatenate(self._values)[kept]]
            self._numbers = self._numbers[kept]
            self.num_rows = len(self._numbers)

    def _drawn(self, begin: int, end: int) -> np.ndarray:
        numbers = np.arange(begin >> self._level, ((end - 1) >> self._level) + 1, dtype=np.int64)
        for level in range(self._level, 0, -1):
            # The highest bit of a product with the golden ratio (Knuth): a coin toss that is the same everywhere.
            coin = ((numbers + level).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63)
            numbers = 2 * numbers + coin.astype(np.int64)
        return numbers[(numbers >= begin) & (numbers < end)]

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Of each feature: values that occur, by the inverse of the distribution."""
        values_KC = np.concatenate(self._values) if self._values else np.empty((0, len(self._features)))
        quantiles = {}
        for name, column in zip(self._features, values_KC.T, strict=True):
            values = column[~np.isnan(column)]
            at = np.quantile(values, QUANTILES, method="inverted_cdf").tolist() if values.size else []
            quantiles[name] = dict(zip(map(str, QUANTILES), at, strict=False))
        return quantiles
