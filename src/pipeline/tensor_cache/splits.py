"""Which rows go to train, val and test: folds of whole groups, so that no group is in two splits."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from pipeline.contract.catalog import Contract
from pipeline.contract.layout import SEGMENT_COLUMN
from pipeline.tensor_cache.params import Params
from trackstack import UserError


class Segments(NamedTuple):
    """Stretches of rows that a window may lie in: one group, one series, neighbours in one file."""

    edges: np.ndarray
    """int64 [S + 1]: segment i has the rows from edges[i] up to, but not including, edges[i + 1]."""
    groups: np.ndarray
    """int64 [S]: the number of each segment's group in `names`."""
    names: Sequence
    """The groups, in the order of the rows; where the data has none, the numbers of the folds."""

    def rows_of_groups(self) -> dict:
        """How many rows each group has."""
        counts = np.bincount(self.groups, weights=np.diff(self.edges), minlength=len(self.names))
        return dict(zip(self.names, counts.astype(np.int64).tolist(), strict=True))

    def are_in(self, groups: list) -> np.ndarray:
        """bool [S]: whether a segment's group is one of these."""
        wanted = set(groups)
        return np.array([name in wanted for name in self.names], bool)[self.groups]


def find_segments(rows: pq.ParquetFile, contract: Contract) -> Segments:
    """Segments end where group or series change, or where rows are no neighbours in their file.

    Without a series every row is a sample of its own, and its neighbours do not matter. Without a group every
    recording is a group, or every row.
    """
    names = [name for name in (contract.group, contract.series, contract.series and SEGMENT_COLUMN) if name]
    if not names:
        num_rows = rows.metadata.num_rows
        return Segments(np.arange(num_rows + 1), np.arange(num_rows), range(num_rows))
    edges: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    numbers: dict = {}
    before, first = None, 0
    for table in row_groups(rows, names):
        changes = np.zeros(len(table), bool)
        for name in names:
            changes[1:] |= pc.not_equal(table[name][1:], table[name][:-1]).to_numpy()
        changes[0] = before != tuple(table[name][0].as_py() for name in names)
        before = tuple(table[name][-1].as_py() for name in names)
        begins = np.flatnonzero(changes)
        codes = pc.take(table[names[0]], pa.array(begins)).combine_chunks().dictionary_encode()
        known = np.array([numbers.setdefault(name, len(numbers)) for name in codes.dictionary.to_pylist()], np.int64)
        groups.append(known[codes.indices.to_numpy()])
        edges.append(begins + first)
        first += len(table)
    return Segments(np.concatenate([*edges, [first]]), np.concatenate(groups), list(numbers))


def deal_into_folds(segments: Segments, label_T: np.ndarray, folds: int) -> Segments:
    """Make as many groups of recordings, or of rows, as there are folds: shuffled, then dealt out class by class.

    Without classes they are dealt out from the lowest to the highest, so that each fold has some of every size. The
    shuffle is NumPy's legacy one, whose numbers are promised never to change.

    Args:
        segments: whose groups are the recordings or rows.
        label_T: the class of each row, int [T], or its targets, float32 [T, K], of which the first counts.
        folds: how many.
    """
    num_parts = len(segments.names)
    if num_parts < folds:
        what = "recordings" if num_parts < len(label_T) else "rows"
        raise UserError(f"params.yaml: tensor_cache.folds is {folds}; expected at most {num_parts}, the {what}")
    shuffled = np.random.RandomState(0).permutation(num_parts)
    if label_T.ndim == 1:
        _, first = np.unique(segments.groups, return_index=True)
        stratum = label_T[segments.edges[first]]
    else:
        stratum = _quantiles(segments, label_T[:, 0], folds)
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold = np.empty(num_parts, np.int64)
    fold[by_stratum] = np.arange(num_parts) % folds
    return Segments(segments.edges, fold[segments.groups], list(range(folds)))


def _quantiles(segments: Segments, amount_T: np.ndarray, folds: int) -> np.ndarray:
    """int64 [parts]: the number of each part's quantile, which holds as many parts as there are folds."""
    group_T = np.repeat(segments.groups, np.diff(segments.edges))
    mean = np.bincount(group_T, weights=amount_T) / np.bincount(group_T)
    rank = np.empty(len(mean), np.int64)
    rank[np.argsort(mean, kind="stable")] = np.arange(len(mean))
    return rank // folds


def split_groups(rows_of_groups: dict, params: Params) -> dict[str, list]:
    """The groups of each split: fold `fold` is the test split, the next one validation if any, the rest training.

    Folds hold whole groups and are balanced by rows: the largest group first, each to the fold that has least, as
    scikit-learn's `GroupKFold` does. Over all folds every group is tested once and serves for validation once.
    """
    groups = sorted(rows_of_groups)
    if len(groups) < params.folds:
        raise UserError(
            f"params.yaml: tensor_cache.folds is {params.folds}; expected at most {len(groups)}, "
            "the number of groups in the data"
        )
    folds: list[list] = [[] for _ in range(params.folds)]
    num_rows = np.zeros(params.folds, np.int64)
    for index in np.argsort([rows_of_groups[group] for group in groups], kind="stable")[::-1]:
        fold = int(np.argmin(num_rows))
        folds[fold].append(groups[index])
        num_rows[fold] += rows_of_groups[groups[index]]
    test = sorted(folds[params.fold])
    val = sorted(folds[(params.fold + 1) % params.folds]) if params.validation else []
    held_out = {*test, *val}
    return {"train": [group for group in groups if group not in held_out], "val": val, "test": test}


def row_groups(rows: pq.ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    """These columns of the row groups that have rows."""
    for number in range(rows.num_row_groups):
        table = rows.read_row_group(number, columns)
        if len(table):  # a block of which every row was rejected has none
            yield table
