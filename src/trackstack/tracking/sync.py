"""Carry journals to the back ends: as a niced child of a run, or as `trackstack sync`.

A run is delivered by one process at a time (a lock in its folder), a database is written by one process at a time
(a lock beside it). How far each back end has come is noted in the run's `sync.json`; the note may lag behind, since
sinks are idempotent. A back end that fails is named once and gets its backlog next time: while the run goes on only
after some minutes, and after the others, since a server that hangs would hold them up.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from trackstack import UserError, collect_rarely, describe_error
from trackstack.tracking.attempts import RunFolder, Told, tell
from trackstack.tracking.journal import journals
from trackstack.tracking.lease import is_live
from trackstack.tracking.locks import locked, unlock, wait_for_lock
from trackstack.tracking.sinks import Sink, open_sink

SYNC_LOCK, SYNC_NOTE = "sync.lock", "sync.json"
FOLLOW_SECONDS, LONGEST_PAUSE, RETRY_SECONDS = 5.0, 30.0, 300.0
CPU_SHARE = 0.02  # of a core, in the long run: on many machines a busy neighbour makes a core slower
PREPARE_POLL_SECONDS = 0.1
RUN_PATIENCE, DATABASE_PATIENCE = 60.0, 300.0


class Delivery:
    """Delivers one run's folder, as often as asked, while this process holds its sync lock."""

    def __init__(self, folder: Path, only: str | None = None):
        self.folder, self.only = folder, only
        self.problems: dict[str, str] = {}
        """By sink: why it could not take everything."""
        self._run = RunFolder(folder)
        self._sinks: dict[str, Sink] = {}
        note = read_note(folder)
        self._counts: dict[str, int] = note.get("counts", {})
        self._ended: list[int] = note.get("ended", [])
        self._complete: dict[str, str] = {}
        self._failed: dict[str, float] = {}
        self._size = 0

    def points(self, last: bool = True) -> list[Told]:
        """Bring points and states of all series to every sink; return what there is.

        Args:
            last: ask a sink that failed a moment ago as well; its time-outs would hold up the others.
        """
        self._size = self._journal_bytes()
        attempts = self._run.refresh()
        told = tell(self.folder, attempts, is_live(self.folder))
        since = time.monotonic() - RETRY_SECONDS
        self.problems = {n: why for n, why in self.problems.items() if not last and self._failed[n] > since}
        deliveries = [
            (name, destination, one)
            for one in told
            for name, destination in one.series.start["destinations"].items()
            if self.only in (None, name) and name not in self.problems
        ]
        for name, destination, one in sorted(deliveries, key=lambda delivery: delivery[0] in self._failed):
            self._attempt(name, lambda n=name, d=destination, o=one: self._deliver(n, d, o))
        self._ended = [attempt.number for attempt in attempts if attempt.end]
        self._note()
        return told

    def files(self, told: list[Told]) -> None:
        """Bring the files of ended series to every sink that has its points.

        What takes long about them is done first, without a database's lock; what fails there fails again below, and
        is reported then. A stage that follows, such as `evaluate`, waits for its points alone: those that come
        meanwhile go out.
        """
        with ThreadPoolExecutor(1) as pool:
            jobs = {pool.submit(job) for job in self._for_files(told, self._prepare) if job}
            while wait(jobs, timeout=PREPARE_POLL_SECONDS).not_done:
                told = self._points_since(told)
        for _ in self._for_files(self._points_since(told), self._deliver_artifacts):
            self._points_since(told)

    def close(self) -> None:
        """Close all sinks."""
        for key, sink in self._sinks.items():
            self._attempt(json.loads(key)[0], sink.close)

    def _deliver(self, name: str, destination: dict[str, Any], told: Told) -> None:
        sink = self._sink(name, destination)
        state = json.dumps([told.series.status, told.series.reproduced, told.series.promoted])
        key = f"{name}:{told.series.key}"
        with self._writing(name, sink):
            if not sink.has(told.series):
                self._counts[key] = 0
            elif self._counts.get(key) == len(told.records) and self._complete.get(key) == state:
                return
            sink.deliver(told.series, told.records[self._counts.get(key, 0) :])
        self._counts[key], self._complete[key] = len(told.records), state

    def _for_files(self, told: Iterable[Told], action: Callable[[str, dict[str, Any], Told], Any]) -> Iterator[Any]:
        """What the action makes of each ended series and sink, None where it failed."""
        for one in told:
            for name, destination in one.series.start["destinations"].items():
                if one.series.status != "running" and self.only in (None, name) and name not in self.problems:
                    yield self._attempt(name, lambda n=name, d=destination, o=one: action(n, d, o))

    def _prepare(self, name: str, destination: dict[str, Any], told: Told) -> Callable[[], None] | None:
        sink = self._sink(name, destination)
        with self._writing(name, sink):
            return sink.prepare(told.series)

    def _deliver_artifacts(self, name: str, destination: dict[str, Any], told: Told) -> None:
        sink = self._sink(name, destination)
        with self._writing(name, sink):
            sink.deliver_artifacts(told.series)

    def _sink(self, name: str, destination: dict[str, Any]) -> Sink:
        key = json.dumps([name, destination], sort_keys=True)
        if key not in self._sinks:
            self._sinks[key] = open_sink(name, destination)
        return self._sinks[key]

    @contextlib.contextmanager
    def _writing(self, name: str, sink: Sink) -> Iterator[None]:
        """Hold the lock of a sink's database; UserError when it is not to be had."""
        path = sink.lock_file()
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(locked(path, patience=0)):
                self._note(name, waits=True)
                if not stack.enter_context(locked(path, DATABASE_PATIENCE)):
                    raise UserError(f"{path}: held by another process for {DATABASE_PATIENCE:.0f} s")
                self._note(name)
            yield

    def _points_since(self, told: list[Told]) -> list[Told]:
        """Bring the points that were recorded since `told` to the sinks that do not fail; what there is now."""
        return told if self._journal_bytes() == self._size else self.points(last=False)

    def _journal_bytes(self) -> int:
        return sum(path.stat().st_size for _, path in journals(self.folder))

    def _attempt(self, name: str, action: Callable[[], Any]) -> Any:
        """What the action returns; None after an error, which is noted."""
        self._note(name)
        try:
            return action()
        except Exception as error:  # whatever a back end does, the others and the run go on
            reason = " ".join(describe_error(error).split())[:300] or type(error).__name__
            self.problems[name], self._failed[name] = reason, time.monotonic()
            return None

    def _note(self, doing: str | None = None, waits: bool = False) -> None:
        """Say how far the delivery is and what it is at, for its next process and for a run that ends."""
        note = {"counts": self._counts, "ended": self._ended, "problems": self.problems}
        partial = self.folder / f".{SYNC_NOTE}.partial"
        partial.write_text(json.dumps(note | {"pid": os.getpid(), "doing": doing, "waits": waits}) + "\n")
        partial.replace(self.folder / SYNC_NOTE)


def sync_run(folder: Path, only: str | None = None, patience: float = RUN_PATIENCE) -> dict[str, str]:
    """Deliver a run's folder once; return the problems by sink.

    Raises:
        UserError: a journal holds a line that is no record.
    """
    with locked(folder / SYNC_LOCK, patience) as mine:
        if not mine:
            return {"sync": f"{folder.name} is being delivered by another process"}
        delivery = Delivery(folder, only)
        delivery.files(delivery.points())
        delivery.close()
    return delivery.problems


def follow(folder: Path, parent: int) -> dict[str, str]:
    """Deliver a run while its writer lives, then what is left, then its files."""
    while not wait_for_lock(folder / SYNC_LOCK, RUN_PATIENCE):
        if not _is_written(folder, parent):
            return {"sync": f"{folder.name} is being delivered by another process"}
    delivery = Delivery(folder)
    with ThreadPoolExecutor(1, initializer=_step_back) as background:
        while _is_written(folder, parent):
            before = time.process_time()
            background.submit(delivery.points, last=False).result()
            spent = time.process_time() - before
            _wait_for_end(folder, parent, min(max(FOLLOW_SECONDS, spent / CPU_SHARE), LONGEST_PAUSE))
    told = delivery.points()  # at full priority, since the writer waits for it
    _step_back()
    delivery.files(told)
    delivery.close()
    unlock(folder / SYNC_LOCK)
    return delivery.problems


def _step_back() -> None:
    """Give this thread, and what it starts, the lowest priority. There is no way back without privileges."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def _is_written(folder: Path, parent: int) -> bool:
    return os.getppid() == parent and is_live(folder)


def _wait_for_end(folder: Path, parent: int, seconds: float) -> None:
    """Sleep until the next delivery is due, or the writer has given its lease back."""
    until = time.monotonic() + seconds
    while time.monotonic() < until and _is_written(folder, parent):
        time.sleep(0.05)


def read_note(folder: Path) -> dict[str, Any]:
    """How far the delivery of a run is.

    `counts` of records by sink and series, `ended` attempts whose points are out, `problems` by sink; `pid` of the
    process that delivers, the sink that it is `doing`, and whether it `waits` for its turn there.
    """
    try:
        return json.loads((folder / SYNC_NOTE).read_text())
    except (OSError, ValueError):
        return {}


def main() -> None:
    """The child of a run: `python -m trackstack.tracking.sync RUN_FOLDER PARENT`."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    collect_rarely()
    try:
        problems = follow(folder, parent)
    except UserError as error:
        sys.exit(str(error))
    for name, reason in problems.items():
        print(f"{name}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
