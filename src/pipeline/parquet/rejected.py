"""The reports of rows that were set aside: one of each part that has any, and one of all."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from pipeline.parquet.csv_rows import Rejected


class RejectedRows:
    """The report of rejected rows, written as they come; only their number and the first stay in memory."""

    def __init__(self, report: TextIO):
        self.count = 0
        self.first: Rejected | None = None
        self._writer = csv.writer(report, lineterminator="\n")
        self._writer.writerow(Rejected._fields)

    def add(self, rejected: list[Rejected]) -> None:
        """Take the rejected rows of a block."""
        self.first = self.first or next(iter(rejected), None)
        self.count += len(rejected)
        self._writer.writerows(rejected)


class RejectedOfPart:
    """The report of a part, which does not name the file, so that another file of the same bytes has the same; where
    nothing was rejected, there is none."""

    def __init__(self, path: Path):
        self.count = 0
        self._path = path

    def add(self, rejected: list[Rejected]) -> None:
        """Take the rejected rows of a block."""
        if rejected:
            with self._path.open("a", newline="", encoding="utf-8") as report:
                writer = csv.writer(report, lineterminator="\n")
                if self.count == 0:
                    writer.writerow(Rejected._fields[1:])
                writer.writerows(row[1:] for row in rejected)
            self.count += len(rejected)


def read_rejected(path: Path, file: str) -> Iterator[Rejected]:
    """What a part's report says of a file."""
    with path.open(newline="", encoding="utf-8") as report:
        rows = csv.reader(report)
        next(rows)
        for line, column, value, reason in rows:
            yield Rejected(file, int(line), column, value, reason)
