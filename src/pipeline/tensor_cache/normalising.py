"""Mean and standard deviation of the training rows, of any split of the data: a merge of each group's moments."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.contract.moments import Moments
from pipeline.windows.cache_files import blocks

MOST_GROUPS = 100
LEAST_ROWS = 100
"""A part whose groups are more, or have fewer rows on average, has no moments of each group: they would be
as large as the data."""
Arrays = dict[str, np.ndarray]


COUNT, MEAN, SQUARES = NAMES = ("moments_count", "moments_mean", "moments_squares")


class GroupMoments:
    """Count, mean and squares of each column, of each group in a part."""

    def __init__(self, num_groups: int, num_columns: int):
        self._shape = (num_groups, num_columns)
        self._moments = [[Moments() for _ in range(num_columns)] for _ in range(num_groups)]

    @classmethod
    def of_part(cls, num_groups: int, num_rows: int, num_columns: int) -> GroupMoments:
        """Of a part with so many groups and rows; of no group, where they are too many."""
        return cls(num_groups if num_groups <= min(MOST_GROUPS, num_rows // LEAST_ROWS) else 0, num_columns)

    def __len__(self) -> int:
        return len(self._moments)

    def add(self, group_N: np.ndarray, rows_NX: np.ndarray) -> None:
        """Take rows into account, each of a group; null is NaN."""
        for group in np.unique(group_N).tolist():
            _merge(self._moments[group], rows_NX[group_N == group])

    def arrays(self) -> Arrays:
        """`moments_count` int64 [G, X]; `moments_mean` and `moments_squares` float64 [G, X]."""
        arrays = {name: np.zeros(self._shape, np.int64 if name == COUNT else np.float64) for name in NAMES}
        for group, columns in enumerate(self._moments):
            for number, column in enumerate(columns):
                found = (column.count, column.mean, column.squares)
                for name, value in zip(NAMES, found, strict=True):
                    arrays[name][group, number] = value
        return arrays


def _merge(columns: list[Moments], rows_NX: np.ndarray) -> None:
    """Sums run in float64 over contiguous columns: NumPy's order of summation is then the same on every machine."""
    for column, values in zip(columns, np.ascontiguousarray(rows_NX.T), strict=True):
        column.merge(Moments.of(values))


def mean_and_std(moments: Iterable[Arrays]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float32 [X], of all rows by the moments of some of them, arrays [M, X].

    A constant column gets 1, to stay as it is. Null is not counted.
    """
    found = list(moments)
    count_MX, mean_MX, squares_MX = (np.concatenate([one[name] for one in found]) for name in NAMES)
    count_X = np.maximum(count_MX.sum(0), 1)
    mean_X = (count_MX * mean_MX).sum(0) / count_X
    squares_X = (squares_MX + count_MX * np.square(mean_MX - mean_X)).sum(0)
    std_X = np.sqrt(squares_X / count_X)
    return mean_X.astype(np.float32), np.where(std_X == 0, 1, std_X).astype(np.float32)


def moments_of_rows(tensors: Arrays, chosen_N: np.ndarray) -> Arrays:
    """The moments [1, X] of the rows of a part that are chosen, bool [N]."""
    moments = GroupMoments(1, columns_of(tensors["signal"][:0], tensors["label"][:0]).shape[1])
    for rows in blocks(0, len(chosen_N)):
        if chosen_N[rows].any():
            found = columns_of(tensors["signal"][rows], tensors["label"][rows])[chosen_N[rows]]
            moments.add(np.zeros(len(found), np.int64), found)
    return moments.arrays()


def columns_of(signal_NC: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """What has a mean: channels, and amounts to predict, float32 [N, X]."""
    return signal_NC if label_N.ndim == 1 else np.hstack([signal_NC, label_N])
