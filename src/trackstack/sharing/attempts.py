"""Attempts at a run as several homes know them: told apart by what they say, whatever number they have.

A run's id is made from what goes into it, so two people can have the same run, each with a `journal-1.jsonl` of their
own. Both are kept: the one that comes later gets the next number that is free. In its shared form a journal names no
back ends: each home delivers to its own.
"""

from __future__ import annotations

import hashlib
import json
from functools import cached_property
from pathlib import PurePosixPath
from typing import Any

from trackstack.tracking.journal import line_of, parse_line

OF_ITS_PLACE = ("attempt", "series", "destinations")
"""What a start record says of the home that it lies in."""


class SharedAttempt:
    """One attempt's journal, without what only its own home can use.

    Raises:
        ValueError: its start is damaged, or not written yet.
    """

    def __init__(self, number: int, journal: bytes):
        self.number = number
        self._lines = journal.split(b"\n")[:-1]  # a last line without its end is still being written
        starts = [record for record in self.records() if record["type"] == "start"]
        if not starts:
            raise ValueError(f"journal-{number}.jsonl has no whole start record")
        self.start = starts[-1]  # an attempt that began anew says so by a second one

    def records(self) -> list[dict[str, Any]]:
        """Those of the lines that are not damaged."""
        return [record for line in self._lines if (record := parse_line(line + b"\n"))]

    @cached_property
    def identity(self) -> str:
        """The same for the same attempt in every home: user, host, time, parameters and all else of its start."""
        said = {name: value for name, value in self.start.items() if name not in OF_ITS_PLACE}
        return hashlib.sha256(json.dumps(said, sort_keys=True).encode()).hexdigest()

    @cached_property
    def content(self) -> bytes:
        """What it says, whatever its number."""
        return self.journal(0, 0, {})

    def journal(self, number: int, series: int, destinations: dict[str, Any] | None = None) -> bytes:
        """Its journal with another number, series and back ends; every other line is byte for byte as it was."""
        return b"".join(self._moved(line + b"\n", number, series, destinations or {}) for line in self._lines)

    def _moved(self, line: bytes, number: int, series: int, destinations: dict[str, Any]) -> bytes:
        record = parse_line(line)
        if record and record["type"] == "start":
            return line_of(record | {"attempt": number, "series": series, "destinations": destinations})
        if record and record["type"] == "artifact":
            return line_of(record | {"path": moved_artifact(record["path"], number)})
        return line


def moved_artifact(path: str, number: int) -> str:
    """Where a kept copy `artifacts/N/...` lies for an attempt of this number."""
    parts = PurePosixPath(path).parts
    return PurePosixPath(parts[0], str(number), *parts[2:]).as_posix() if len(parts) > 2 else path


def numbers_there(target: list[SharedAttempt], incoming: list[SharedAttempt]) -> dict[int, int]:
    """The number that each incoming attempt gets: that of the same one there, its own, or the next that is free."""
    known = {attempt.identity: attempt.number for attempt in target}
    taken = set(known.values())
    numbers = {}
    for attempt in sorted(incoming, key=lambda one: (one.identity not in known, one.number)):
        number = known.get(attempt.identity, attempt.number)
        if attempt.identity not in known and number in taken:
            number = max(taken) + 1
        taken.add(number)
        numbers[attempt.number] = number
    return numbers
