"""Mean and standard deviation of the training rows, of any split of the data: a merge of each group's moments."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from pipeline.contract.moments import Moments
from pipeline.tensor_cache.segments import Segments
from pipeline.windows.cache_files import blocks
from pipeline.windows.slicing import are_in

MOST_GROUPS = 100
LEAST_ROWS = 100
"""A part whose groups are more, or have fewer rows on average, has no moments of each group: they would be
as large as the data."""
Arrays = dict[str, np.ndarray]


class GroupMoments:
    """Count, mean and squares of each column, of each group in each part."""

    def __init__(self, pairs: list[tuple[int, int]], num_columns: int):
        self._row = {pair: row for row, pair in enumerate(pairs)}
        shape = (len(pairs), num_columns)
        self.arrays: Arrays = {
            "moments_of": np.array(pairs, np.int64).reshape(-1, 2),
            "moments_count": np.zeros(shape, np.int64),
            "moments_mean": np.zeros(shape),
            "moments_squares": np.zeros(shape),
        }

    def add(self, part: int, group: int, rows_NX: np.ndarray) -> None:
        """Take rows of a group into account; null is NaN. Nothing where the groups are too many.

        Sums run in float64 over contiguous columns: NumPy's order of summation is then the same on every machine.
        """
        if not self._row:
            return
        row = self._row[part, group]
        for number, values in enumerate(np.ascontiguousarray(rows_NX.T)):
            moments = Moments()
            cells = [(self.arrays[f"moments_{name}"], name) for name in ("count", "mean", "squares")]
            for array, name in cells:
                setattr(moments, name, array[row, number].item())
            moments.merge(Moments.of(values))
            for array, name in cells:
                array[row, number] = getattr(moments, name)

    def copy(self, part: int, other: Arrays, other_part: int) -> bool:
        """Take what another file has of a part's rows; False where it has nothing."""
        here, there = _rows_of(self.arrays, part), _rows_of(other, other_part)
        if here.stop - here.start != there.stop - there.start:
            return False
        for name in ("count", "mean", "squares"):  # the groups of a part have the same order everywhere
            self.arrays[f"moments_{name}"][here] = other[f"moments_{name}"][there]
        return True

    def clear(self, part: int) -> None:
        """Forget the rows of a part."""
        for name in ("count", "mean", "squares"):
            self.arrays[f"moments_{name}"][_rows_of(self.arrays, part)] = 0


def _rows_of(arrays: Arrays, part: int) -> slice:
    return slice(*np.searchsorted(arrays["moments_of"][:, 0], [part, part + 1]).tolist())


def groups_of_parts(segments: Segments, rows_of_parts: list[int]) -> list[tuple[int, int]]:
    """Each part with each of its groups, in the order of the rows; none at all where a part has too many."""
    pairs, first = [], 0
    for part, rows in enumerate(rows_of_parts):
        groups = segments.between(first, first + rows)[1]
        names = dict.fromkeys(groups.tolist()) if len(groups) <= rows // 2 else groups
        if len(names) > min(MOST_GROUPS, rows // LEAST_ROWS):
            return []
        pairs += [(part, group) for group in names]
        first += rows
    return pairs


def mean_and_std(tensors: Arrays, segments: Segments, training: list) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float32 [X], of the training groups' rows: of the channels, then of the targets.

    A constant column gets 1, to stay as it is. Null is not counted.

    Args:
        tensors: of the signal file.
        training: names of groups.
    """
    if not len(tensors["moments_of"]):
        return moments(_training_rows(tensors, segments, training))
    chosen = are_in(tensors["moments_of"][:, 1], segments.names, training)
    count_MX, mean_MX, squares_MX = (tensors[f"moments_{name}"][chosen] for name in ("count", "mean", "squares"))
    count_X = np.maximum(count_MX.sum(0), 1)
    mean_X = (count_MX * mean_MX).sum(0) / count_X
    squares_X = (squares_MX + count_MX * np.square(mean_MX - mean_X)).sum(0)
    std_X = np.sqrt(squares_X / count_X)
    return mean_X.astype(np.float32), np.where(std_X == 0, 1, std_X).astype(np.float32)


def moments(parts: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float32 [X], of rows [N, X]; a constant column gets 1, to stay as it is."""
    columns: list[Moments] = []
    for rows_NX in parts:
        columns = columns or [Moments() for _ in range(rows_NX.shape[1])]
        for column, values in zip(columns, np.ascontiguousarray(rows_NX.T), strict=True):
            column.merge(Moments.of(values))
    mean_X = np.array([column.mean for column in columns], np.float64)
    std_X = np.array([column.std() or 1.0 for column in columns], np.float64)
    return mean_X.astype(np.float32), std_X.astype(np.float32)


def columns_of(signal_NC: np.ndarray, label_N: np.ndarray) -> np.ndarray:
    """What has a mean: channels, and amounts to predict, float32 [N, X]."""
    return signal_NC if label_N.ndim == 1 else np.hstack([signal_NC, label_N])


def _training_rows(tensors: Arrays, segments: Segments, training: list) -> Iterable[np.ndarray]:
    is_training_S = are_in(segments.groups, segments.names, training)
    for rows in blocks(0, len(tensors["signal"])):
        numbers = np.arange(rows.start, rows.stop)
        chosen = is_training_S[np.searchsorted(segments.edges, numbers, side="right") - 1]
        if chosen.any():
            yield columns_of(tensors["signal"][rows], tensors["label"][rows])[chosen]
