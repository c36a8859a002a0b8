"""Which rows a window may cover: one group, one series, neighbours in one raw file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.contract.catalog import Contract
from pipeline.contract.layout import LINE_COLUMN
from pipeline.tensor_cache.parts import Part, row_groups


class Segments(NamedTuple):
    """Stretches of rows that a window may lie in."""

    edges: np.ndarray
    """int64 [S + 1]: segment i has the rows from edges[i] up to, but not including, edges[i + 1]."""
    groups: np.ndarray
    """int64 [S]: the number of each segment's group in `names`."""
    names: Sequence
    """The groups, in the order of the rows; where the data has none, its recordings or rows, or its folds."""

    def rows_of_groups(self) -> dict:
        """How many rows each group has."""
        counts = np.bincount(self.groups, weights=np.diff(self.edges), minlength=len(self.names))
        return dict(zip(self.names, counts.astype(np.int64).tolist(), strict=True))

    def between(self, begin: int, end: int) -> tuple[np.ndarray, np.ndarray]:
        """First rows int64 [s], counted from `begin`, and groups int64 [s] of the segments that have rows there."""
        first, last = np.searchsorted(self.edges, [begin, end - 1], side="right") - 1
        return np.maximum(self.edges[first : last + 1] - begin, 0), self.groups[first : last + 1]


class PartSegments(NamedTuple):
    """The segments of one part, as if it were alone."""

    begins: np.ndarray
    """int64 [S]: their first rows, counted from the part's; the first is 0."""
    groups: list
    """The name of each segment's group."""
    first: list
    """Of the first row: its line, its group and its series, as far as the data has them."""
    last: list
    """Of the last row."""


def key_columns(contract: Contract) -> list[str]:
    """The columns that end a segment where they change, the group's first; none where every row is a sample.

    Without a group every recording is a group, or every row.
    """
    return [name for name in (contract.group, contract.series) if name]


def find_segments(part: Part, contract: Contract) -> PartSegments:
    """Segments end where group or series change, or where the line is not the one after that of the row before.

    Without a series every row is a sample of its own, and its neighbours do not matter.
    """
    names, begins, groups, first_row = key_columns(contract), [], [], 0
    first: list = []
    last: list = []
    for table in row_groups(part, [*names, LINE_COLUMN]):
        lines = table[LINE_COLUMN].to_numpy()
        changes = np.zeros(len(table), bool)
        for name in names:
            changes[1:] |= pc.not_equal(table[name][1:], table[name][:-1]).to_numpy()
        if contract.series:
            changes[1:] |= np.diff(lines) != 1
        now = _row(table, names, 0)
        changes[0] = not (last and _follows(now, last, contract))
        first, last = first or now, _row(table, names, -1)
        at = np.flatnonzero(changes)
        begins.append(at + first_row)
        groups += table[names[0]].take(pa.array(at)).to_pylist()
        first_row += len(table)
    return PartSegments(np.concatenate(begins), groups, first, last)


def join_segments(parts: Sequence[Part], found: Iterable[PartSegments], contract: Contract) -> Segments:
    """The segments of all parts: one goes on from a piece of a large file to the next."""
    edges: list[np.ndarray] = []
    groups: list[np.ndarray] = []
    numbers: dict = {}
    before: list = []
    raw_file, first_row = "", 0
    for part, segments in zip(parts, found, strict=True):
        may_go_on = bool(before) and (contract.series is None or part.raw_file == raw_file)
        goes_on = int(may_go_on and _follows(segments.first, before, contract))
        edges.append(segments.begins[goes_on:] + first_row)
        groups.append(
            np.array([numbers.setdefault(name, len(numbers)) for name in segments.groups[goes_on:]], np.int64)
        )
        before, raw_file, first_row = segments.last, part.raw_file, first_row + part.rows
    return Segments(np.concatenate([*edges, [first_row]]), np.concatenate(groups), list(numbers))


def every_row(num_rows: int) -> Segments:
    """The segments of data without group and series."""
    return Segments(np.arange(num_rows + 1), np.arange(num_rows), range(num_rows))


def _row(table: pa.Table, names: list[str], row: int) -> list:
    return [table[name][row].as_py() for name in (LINE_COLUMN, *names)]


def _follows(row: list[Any], before: list[Any], contract: Contract) -> bool:
    """Whether a row is in the segment of the one before."""
    return row[1:] == before[1:] and (contract.series is None or row[0] == before[0] + 1)
