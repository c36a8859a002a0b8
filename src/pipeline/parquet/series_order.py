"""The order of rows: within a file the rows of a series stand together, and its time rises."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from pipeline.contract.catalog import Contract
from pipeline.parquet.csv_rows import MAX_SHOWN, ParsedBlock, Rejected


class SeriesOrder:
    """What must be known of a file's earlier rows; memory grows with its number of series, not of rows."""

    def __init__(self, contract: Contract):
        self.contract = contract
        self.begin_file()

    def begin_file(self) -> None:
        """Forget: files may number their recordings alike."""
        self._current: tuple | None = None
        self._last_line: dict[tuple, int] = {}
        self._latest: Any = None

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
        for (begin, end), key in zip(pairwise(edges), keys, strict=True):
            run = slice(begin, end)
            if not self._may_follow(key):
                reason = f"it ended in line {self._last_line[key]}; the rows of one {contract.series} stand together"
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
        if key in self._last_line:
            return False
        self._current, self._latest = key, None
        return True

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
