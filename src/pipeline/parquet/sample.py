"""A sample of rows for quantiles: drawn by a fixed rule part by part, so that those of parts can be joined."""

from __future__ import annotations

import base64
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
MAX_SAMPLED_VALUES = 1 << 21
"""Of all parts."""
MAX_VALUES_OF_PART = 1 << 16
MIN_SAMPLED_ROWS = 1 << 10
LEAST_SHARE = 16
"""Of a part's rows one in so many is drawn at most, so that its summary is small beside it."""


class Sample:
    """One row of every 2^level of a part: all of them while they are few, then one drawn from each stretch of rows.

    Of 2^level neighbours one is drawn by a fixed rule that depends on its number in the part alone, so that the
    sample is the same whatever the blocks, and that of a level is part of the one before.
    """

    def __init__(self, columns: list[str]):
        self._columns = columns
        self._rows = 0
        self.level = 0
        self._values: list[np.ndarray] = []

    def add(self, rows: pl.DataFrame) -> None:
        """Draw from the part's next rows."""
        if not self._columns:
            return
        first, self._rows = self._rows, self._rows + rows.height
        at = _drawn(self.level, first, self._rows) - first if self.level else slice(None)
        self._values.append(np.column_stack([rows[name].to_numpy()[at] for name in self._columns]))
        self.coarsen(self._level_of_part())

    def _level_of_part(self) -> int:
        """By the number of rows alone: it only rises, and blocks do not change it."""
        most = min(MAX_VALUES_OF_PART // len(self._columns), self._rows // LEAST_SHARE)
        level = 0
        while self._rows >> level > max(MIN_SAMPLED_ROWS, most):
            level += 1
        return level

    @classmethod
    def of_all(cls, rows: pl.DataFrame) -> Sample:
        """All rows, of which each column is wanted."""
        sample = cls(rows.columns)
        sample._rows = rows.height
        sample._values = [np.column_stack([column.to_numpy() for column in rows.get_columns()])]
        return sample

    def __len__(self) -> int:
        """How many rows were drawn."""
        return sum(map(len, self._values))

    def coarsen(self, level: int) -> None:
        """Keep the rows of a level that is at least the present one."""
        if level > self.level:
            kept = np.isin(_drawn(self.level, 0, self._rows), _drawn(level, 0, self._rows), assume_unique=True)
            self._values = [self.values()[kept]]
            self.level = level

    def values(self) -> np.ndarray:
        """Float32, or float64 where there are times, [K, C] of the rows drawn; a null is NaN."""
        return np.concatenate(self._values) if self._values else np.empty((0, len(self._columns)), np.float32)

    def dump(self) -> dict:
        """Of plain values, from which `load` makes it again: the values by row, little-endian, in base64."""
        values_KC = self.values()
        dtype = values_KC.dtype.newbyteorder("<")
        content = base64.b64encode(values_KC.astype(dtype).tobytes()).decode()
        return {"level": self.level, "rows": self._rows, "dtype": dtype.str, "values": content}

    @classmethod
    def load(cls, columns: list[str], dumped: dict) -> Sample:
        """What `dump` gave."""
        sample = cls(columns)
        sample.level, sample._rows = dumped["level"], dumped["rows"]
        values = np.frombuffer(base64.b64decode(dumped["values"]), dumped["dtype"])
        sample._values = [values.reshape(-1, len(columns))] if columns else []
        return sample


class JoinedSample:
    """The samples of several parts, brought to a level that they have in common, so that they stay few."""

    def __init__(self, columns: list[str]):
        self._columns = columns
        self._samples: list[Sample] = []
        self._level = 0
        self.num_rows = 0

    def add(self, sample: Sample) -> None:
        """Join the sample of a later part; it may be coarsened."""
        sample.coarsen(self._level)
        self._samples.append(sample)
        self.num_rows += len(sample)
        self._coarsen(sample.level)
        while not can_be_whole(self.num_rows, len(self._columns)):
            self._coarsen(self._level + 1)

    def _coarsen(self, level: int) -> None:
        if level > self._level:
            self._level = level
            for sample in self._samples:
                sample.coarsen(level)
            self.num_rows = sum(map(len, self._samples))

    def values(self) -> np.ndarray:
        """[K, C] of the rows drawn; a null is NaN."""
        empty = np.empty((0, len(self._columns)), np.float32)
        return np.concatenate([empty, *(sample.values() for sample in self._samples)])

    def quantiles(self) -> dict[str, dict[str, float]]:
        """Of each column: values that occur, by the inverse of the distribution."""
        quantiles = {}
        for name, column in zip(self._columns, self.values().T, strict=True):
            values = column[~np.isnan(column)]
            at = np.quantile(values, QUANTILES, method="inverted_cdf").tolist() if values.size else []
            quantiles[name] = dict(zip(map(str, QUANTILES), at, strict=False))
        return quantiles


def can_be_whole(num_rows: int, num_columns: int) -> bool:
    """Whether rows are so few that all of them are the sample."""
    return num_rows <= MIN_SAMPLED_ROWS or num_rows * num_columns <= MAX_SAMPLED_VALUES


def _drawn(level: int, begin: int, end: int) -> np.ndarray:
    """int64: which of the rows from `begin` up to `end` are drawn."""
    if begin >= end:
        return np.empty(0, np.int64)
    numbers = np.arange(begin >> level, ((end - 1) >> level) + 1, dtype=np.int64)
    for finer in range(level, 0, -1):
        # The highest bit of a product with the golden ratio (Knuth): a coin toss that is the same everywhere.
        coin = ((numbers + finer).astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)) >> np.uint64(63)
        numbers = 2 * numbers + coin.astype(np.int64)
    return numbers[(numbers >= begin) & (numbers < end)]
