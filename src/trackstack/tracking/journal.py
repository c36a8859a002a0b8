"""The journal of an attempt: an append-only file of JSON lines, the one place where a run is recorded.

A run lies in `HOME/runs/RUN/`; every attempt at it writes a `journal-N.jsonl` of its own, which is opened
exclusively and never written to again. A line is a record with `type` and `time` (seconds since 1970):

    start      run, attempt, stage, series, name, params, tags, data, environment, destinations
    metrics    step, values
    system     values: use of CPU, memory and GPU
    artifact   kind, path (within the run's folder), digest
    end        status (finished, interrupted, paused, pruned, failed), error

`series` is the attempt that this one goes on from, or its own number: the points of a series are one curve. A second
`start` takes the place of the first: the attempt turned out to have begun anew. Each line
ends with `crc`, the CRC-32 of what stands before it, by which a reader sees a flipped byte.
"""

from __future__ import annotations

import errno
import json
import os
import re
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

UNFINISHED = ("interrupted", "paused")
"""How a run ends that the same command goes on with."""
JOURNAL = re.compile(r"journal-(\d+)\.jsonl")
CRC = re.compile(rb',"crc":"([0-9a-f]{8})"\}\n')
CRC_BYTES = len(b',"crc":"00000000"}\n')
FIELDS = {
    "start": ("run", "attempt", "stage", "series"),
    "metrics": ("time", "step", "values"),
    "system": ("time", "values"),
    "artifact": ("kind", "path", "digest"),
    "end": ("time", "status"),
}
"""What a record of each type has at least."""
LARGEST_STEP, LARGEST_VALUE = 2**63 - 1, int(sys.float_info.max)
"""What back ends and tables can hold."""


class Journal:
    """Writer of one attempt's journal: one `write` system call per record, and no buffer."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.attempt, self.path, self._file = _open_next(folder)
        self._size, self._lock = 0, threading.RLock()  # a handler of a signal may log, too

    def write(self, record: dict[str, Any]) -> None:
        """Append a record; numbers may be NumPy's or torch's.

        Raises:
            OSError: there is no room for it; the journal is as it was.
        """
        line = line_of(record)
        with self._lock:
            try:
                written = os.write(self._file, line)
                error = None if written == len(line) else errno.ENOSPC
            except OSError as fault:
                error = fault.errno or errno.EIO
            if error:
                os.ftruncate(self._file, self._size)  # half a line would spoil the next one
                raise OSError(error, os.strerror(error), str(self.path))
            self._size += len(line)

    def flush(self) -> None:
        """Return when everything written so far is on disk."""
        os.fsync(self._file)

    def close(self) -> None:
        """Flush, and write no more."""
        try:
            self.flush()
        finally:
            os.close(self._file)


class PatientJournal:
    """The journal of a run that needs no room to go on: what waits is written as soon as there is some."""

    def __init__(self, folder: Path):
        self._journal = Journal(folder)
        self.attempt, self.path = self._journal.attempt, self._journal.path
        self._unwritten: list[dict[str, Any]] = []
        self._lock = threading.RLock()

    def begin(self, start: dict[str, Any]) -> None:
        """Write the first record; OSError where there is no room even for that."""
        self._journal.write(start)
        self._journal.flush()

    def write(self, record: dict[str, Any]) -> None:
        """Append a record, behind those that wait."""
        with self._lock:
            waiting = bool(self._unwritten)
            self._unwritten.append(record)
            try:
                while self._unwritten:
                    first = self._unwritten[0]
                    self._journal.write(first)
                    if self._unwritten and self._unwritten[0] is first:  # a handler of a signal may have been here
                        del self._unwritten[0]
            except OSError as error:
                if not waiting:
                    warn(f"{self.path}: {error.strerror}: the run goes on, and its record waits for room")

    def flush(self) -> None:
        """Return when everything written so far is on disk."""
        try:
            self._journal.flush()
        except OSError as error:
            warn(f"{self.path}: {error.strerror}: the record may lack its last lines; the run goes on")

    def close(self) -> None:
        """Write no more."""
        if self._unwritten:
            warn(
                f"{self.path}: {len(self._unwritten)} records, the end among them, were not kept; "
                "make room, and run it again"
            )
        try:
            self._journal.close()
        except OSError as fault:
            warn(f"{self.path}: {fault.strerror}: the record may lack its last lines")


def warn(what: str) -> None:
    """Say something that stops nothing."""
    print(f"warning: {what}", file=sys.stderr)


def line_of(record: dict[str, Any]) -> bytes:
    """The line of a record, with its checksum."""
    text = json.dumps(record, default=float, separators=(",", ":")).encode()[:-1]
    return b'%s,"crc":"%08x"}\n' % (text, zlib.crc32(text))


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


def read_records(path: Path, offset: int = 0) -> Iterator[tuple[int, dict[str, Any] | None]]:
    """Yield the whole lines from a byte offset on, each with the offset of its end; None for one that is damaged.

    A last line without its end is still being written, or was cut by a kill: it is left out.
    """
    with path.open("rb") as file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield offset, parse_line(line)


def line_number(path: Path, end: int) -> int:
    """The number of the line that ends at a byte offset, counted from 1."""
    return path.read_bytes()[:end].count(b"\n")


def parse_line(line: bytes) -> dict[str, Any] | None:
    """The record of a whole line, without its checksum; None when it is not what was written."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    if not isinstance(record, dict) or not all(
        name in record for name in FIELDS.get(str(record.get("type")), ("type",))
    ):
        return None
    crc = CRC.fullmatch(line[-CRC_BYTES:])  # records of other writers have none
    if crc and int(crc[1], 16) != zlib.crc32(line[:-CRC_BYTES]):
        return None
    if record["type"] in ("metrics", "system") and not _are_numbers(record):
        return None
    record.pop("crc", None)
    return _printable(record) if rb"\ud" in line else record


def _are_numbers(record: dict[str, Any]) -> bool:
    """Whether a point has values that everybody can hold: one that has not would be in the way of all others."""
    step, values = record.get("step", 0), record["values"]
    if type(step) not in (int, float) or not -LARGEST_STEP <= step <= LARGEST_STEP or not isinstance(values, dict):
        return False
    return isinstance(record["time"], int | float) and all(
        type(value) is float or (type(value) is int and -LARGEST_VALUE <= value <= LARGEST_VALUE)
        for value in values.values()
    )


def _printable(value: Any) -> Any:
    """Without what is half a character, such as a file's name in another encoding: no back end takes it."""
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_printable(key): _printable(item) for key, item in value.items()}
    return [_printable(item) for item in value] if isinstance(value, list) else value


def now() -> float:
    """The time of a record, to the millisecond: what every back end can hold."""
    return round(time.time(), 3)
