"""The journal of an attempt: an append-only file of JSON lines, the one place where a run is recorded.

A run lies in `HOME/runs/RUN/`; every attempt at it writes a `journal-N.jsonl` of its own, which is opened
exclusively and never written to again. A line is a record with `type` and `time` (seconds since 1970):

    start      run, attempt, stage, series, name, params, tags, data, environment, destinations
    metrics    step, values
    system     values: use of CPU, memory and GPU
    artifact   kind, path (within the run's folder), digest
    end        status (finished, failed, interrupted), error

`series` is the attempt that this one goes on from, or its own number: the points of a series are one curve.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError

JOURNAL = re.compile(r"journal-(\d+)\.jsonl")


class Journal:
    """Writer of one attempt's journal: one `write` system call per record, no lock, no buffer."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.attempt, self.path, self._file = _open_next(folder)

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; numbers may be NumPy's or torch's."""
        os.write(self._file, json.dumps(record, default=float, separators=(",", ":")).encode() + b"\n")

    def flush(self) -> None:
        """Return when everything written so far is on disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Flush, and write no more."""
        self.flush()
        os.close(self._file)


def _open_next(folder: Path) -> tuple[int, Path, int]:
    attempt = max((number for number, _ in journals(folder)), default=0) + 1
    while True:
        path = folder / f"journal-{attempt}.jsonl"
        try:
            return attempt, path, os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o644)
        except FileExistsError:
            attempt += 1


def journals(folder: Path) -> list[tuple[int, Path]]:
    """The attempts at a run and their journals, first to last."""
    files = [(int(match[1]), path) for path in folder.iterdir() if (match := JOURNAL.fullmatch(path.name))]
    return sorted(files)


def read_records(path: Path, offset: int = 0) -> Iterator[tuple[int, dict[str, Any]]]:
    """Yield the whole records from a byte offset on, each with the offset of its end.

    A last line without its end is still being written, or was cut by a kill: it is left out.

    Raises:
        UserError: a whole line is no record; it names file and line.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield offset, _parse(path, line, offset)


def _parse(path: Path, line: bytes, end: int) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except ValueError:
        record = None
    if not isinstance(record, dict) or "type" not in record:
        number = path.read_bytes()[:end].count(b"\n")
        raise UserError(f"{path}: line {number} is not a record; move the file aside to sync the other runs")
    return record


def now() -> float:
    """The time of a record, to the millisecond: what every back end can hold."""
    return round(time.time(), 3)
