"""The order of rows: within a file the rows of a series stand together, and its time rises."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from pipeline.contract.catalog import Contract
from pipeline.parquet.csv_rows import MAX_SHOWN, ParsedBlock, Rejected


class SeriesState(NamedTuple):
    """What must be known of a file's earlier rows; it grows with their number of series, not of rows.

    A series is its group, if there is one, and its own name.
    """

    current: tuple | None = None
    """The series of the last rows."""
    latest: Any = None
    """Its latest time."""
    last_line: Mapping[tuple, int] = MappingProxyType({})
    """The last line of each series so far."""
    first: tuple | None = None
    """The series of the first row."""
    first_time: Any = None

    def then(self, later: SeriesState) -> SeriesState:
        """The state behind two pieces of a file, of which the first has this one."""
        last_line = dict(self.last_line) | dict(later.last_line)
        if later.current is None:
            return self._replace(last_line=last_line)
        return later._replace(last_line=last_line)

    def would_reject_of(self, later: SeriesState) -> bool:
        """Whether rows of a later piece, which was checked without this one, are at fault because of it."""
        goes_on = later.first is not None and later.first == self.current
        if any(key in self.last_line and not (goes_on and key == later.first) for key in later.last_line):
            return True
        return goes_on and self.latest is not None and later.first_time <= self.latest

    def as_json(self) -> dict[str, Any]:
        """Of plain values."""
        return self._asdict() | {"last_line": [[*key, line] for key, line in self.last_line.items()]}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SeriesState:
        """What `as_json` gave."""
        names = {name: value[name] and tuple(value[name]) for name in ("current", "first")}
        last_line = {tuple(key): line for *key, line in value["last_line"]}
        return cls(**(value | names | {"last_line": last_line}))


class SeriesOrder:
    """Checks the rows of a file, or of a piece of it, block by block.

    Args:
        contract: which columns there are.
        before: the state behind the earlier pieces of the file.
    """

    def __init__(self, contract: Contract, before: SeriesState | None = None):
        self.contract = contract
        self._before = before or SeriesState()
        self._current, self._latest = self._before.current, self._before.latest
        self._last_line: dict[tuple, int] = {}
        self._first: tuple | None = None
        self._first_time: Any = None

    def state(self) -> SeriesState:
        """Behind the rows that were checked; without the series that only an earlier piece has."""
        return SeriesState(
            self._current, _plain(self._latest), self._last_line, self._first, _plain(self._first_time)
        )

    def check(self, block: ParsedBlock, file: str) -> ParsedBlock:
        """Set aside the rows of a series that comes back, and those that are not later than one before them."""
        contract = self.contract
        if contract.series is None or block.rows.is_empty():
            return block
        names = [name for name in (contract.group, contract.series) if name]
        changes = pl.any_horizontal(pl.col(names) != pl.col(names).shift())
        edges = [0, *block.rows.select(changes.arg_true()).to_series().to_list(), block.rows.height]
        keys = block.rows.select(names)[edges[:-1]].rows()
        time = block.rows[contract.time].to_numpy() if contract.time else None
        rejected: list[Rejected] = []
        good = np.ones(block.rows.height, bool)
        if self._first is None:
            self._first, self._first_time = keys[0], None if time is None else time[0]
        for (begin, end), key in zip(pairwise(edges), keys, strict=True):
            run = slice(begin, end)
            if not self._may_follow(key):
                reason = f"it ended in line {self._ended(key)}; the rows of one {contract.series} stand together"
                good[run] = False
                value = str(key[-1])[:MAX_SHOWN]
                rejected += [
                    Rejected(file, line, contract.series, value, reason) for line in block.lines[run].tolist()
                ]
                continue
            self._last_line[key] = int(block.lines[end - 1])
            if time is not None:
                rejected += self._check_time(time[run], block.lines[run], good[run], file)
        if not rejected:
            return block
        rejected = sorted([*block.rejected, *rejected], key=lambda row: row.line)
        return ParsedBlock.of(block.rows.filter(good).rechunk(), block.lines[good], rejected, contract)

    def _may_follow(self, key: tuple) -> bool:
        """Whether rows of this series may come now: it goes on, or begins."""
        if key == self._current:
            return True
        if self._ended(key) is not None:
            return False
        self._current, self._latest = key, None
        return True

    def _ended(self, key: tuple) -> int | None:
        """The last line of a series so far; None where it is new."""
        return self._last_line.get(key, self._before.last_line.get(key))

    def _check_time(self, time: np.ndarray, lines: np.ndarray, good: np.ndarray, file: str) -> list[Rejected]:
        """Rows of the present series whose time is not later than all before; `good` is written to."""
        # A row set aside is not later than one that was kept, so that it cannot be the latest.
        history = time if self._latest is None else np.append(self._latest, time)
        latest = np.maximum.accumulate(history)
        late = np.flatnonzero(history[1:] <= latest[:-1])
        first = len(time) - len(history) + 1  # the first row of a series has none before it
        self._latest = latest[-1]
        good[late + first] = False
        bad = zip(lines[late + first].tolist(), time[late + first], latest[late], strict=True)
        column = self.contract.time or ""
        return [
            Rejected(file, line, column, str(value), f"not later than {last}, an earlier row's")
            for line, value, last in bad
        ]


def _plain(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value
