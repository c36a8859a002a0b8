"""Carry journals to the back ends: as a niced child of a run, or as `trackstack sync`.

A run is delivered by one process at a time (a lock in its folder), a database is written by one process at a time
(a lock beside it). How far each back end has come is noted in the run's `sync.json`; the note may lag behind, since
sinks are idempotent. A back end that fails is named once and gets its backlog next time: while the run goes on only
after some minutes, and after the others, since a server that hangs would hold them up.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any

from trackstack import UserError, describe_error
from trackstack.core.files import read_json, sealed, write_json
from trackstack.system.lease import is_live
from trackstack.system.locks import locked, unlock, wait_for_lock
from trackstack.tracking.db import DAMAGED, MEND
from trackstack.tracking.journal import journals
from trackstack.tracking.series import RunFolder, SeriesRecords, group_attempts
from trackstack.tracking.sinks import Series, Sink, open_sink

SYNC_LOCK, SYNC_NOTE = "sync.lock", "sync.json"
FOLLOW_SECONDS, LONGEST_PAUSE, RETRY_SECONDS = 5.0, 30.0, 300.0
CPU_SHARE = 0.02  # of a core, in the long run: on many machines a busy neighbour makes a core slower
PREPARE_POLL_SECONDS = 0.1
RUN_PATIENCE, DATABASE_PATIENCE = 60.0, 300.0
SQLALCHEMY = re.compile(r" \[SQL: | \(Background on this error")
"""What MLflow's errors go on with: a page of SQL, and an address."""


class Delivery:
    """Delivers one run's folder, as often as it is called, while this process holds its sync lock."""

    def __init__(self, folder: Path, only: str | None = None):
        self.folder, self.only = folder, only
        self.problems: dict[str, str] = {}
        """By sink: why it could not take everything."""
        self._run = RunFolder(folder)
        self._sinks: dict[str, Sink] = {}
        self.damage: list[str] = []
        """What of the journals is not as it was written."""
        note = read_note(folder)
        self._counts: dict[str, int] = note.get("counts", {})
        self._ended: list[int] = note.get("ended", [])
        self._complete: dict[str, str] = {}
        self._failed: dict[str, float] = {}
        self._size = 0

    def deliver_points(self, last: bool = True) -> list[SeriesRecords]:
        """Bring points and states of all series to every sink; return what there is.

        Args:
            last: try a sink that failed a moment ago as well; its time-outs would hold up the others.
        """
        self._size = self._journal_bytes()
        attempts = self._run.refresh()
        self.damage = self._run.damage(self._ended)
        all_series = group_attempts(self.folder, attempts, is_live(self.folder))
        since = time.monotonic() - RETRY_SECONDS
        self.problems = {n: why for n, why in self.problems.items() if not last and self._failed[n] > since}
        deliveries = [item for item in self._destinations(all_series) if item[0] not in self.problems]
        for name, destination, one_series in sorted(deliveries, key=lambda item: item[0] in self._failed):
            self._attempt(name, self._deliver, name, destination, one_series)
        self._ended = sorted({*self._ended, *(attempt.number for attempt in attempts if attempt.end)})
        if attempts:
            self._note()
        return all_series

    def deliver_files(self, all_series: list[SeriesRecords]) -> None:
        """Bring the files of ended series to every sink that has its points.

        What takes long about them is done first, without a database's lock; what fails there fails again below, and
        is reported then. A stage that follows, such as `evaluate`, waits for its points alone: those that come
        meanwhile go out.
        """
        with ThreadPoolExecutor(1) as pool:
            jobs = {pool.submit(job) for job in self._for_files(all_series, self._prepare) if job}
            while wait(jobs, timeout=PREPARE_POLL_SECONDS).not_done:
                all_series = self._points_since(all_series)
        for _ in self._for_files(self._points_since(all_series), self._deliver_artifacts):
            self._points_since(all_series)

    def close(self) -> None:
        """Close all sinks."""
        for key, sink in self._sinks.items():
            self._attempt(json.loads(key)[0], sink.close)

    def _destinations(self, all_series: list[SeriesRecords]) -> Iterator[tuple[str, dict[str, Any], SeriesRecords]]:
        for one_series in all_series:
            if self.damage and one_series.series.status == "lost":
                continue  # its end may be what is damaged, and back ends may have it
            for name, destination in one_series.series.start["destinations"].items():
                if self.only in (None, name):
                    yield name, destination, one_series

    def _deliver(self, name: str, destination: dict[str, Any], records: SeriesRecords) -> None:
        series, sink = records.series, self._sink(name, destination)
        state = json.dumps([series.status, series.reproduced, series.versions])
        key = f"{name}:{series.key}"
        with self._writing(name, sink):
            if not sink.has(series) or self.damage:  # with a line left out, the count says nothing
                self._counts[key] = 0
            elif self._counts.get(key) == len(records.records) and self._complete.get(key) == state:
                return
            sink.deliver(series, records.records[self._counts.get(key, 0) :])
        self._counts[key], self._complete[key] = len(records.records), state

    def _for_files(self, all_series: list[SeriesRecords], action: Callable[..., Any]) -> Iterator[Any]:
        """What the action returns for each ended series and sink, None where it failed."""
        for name, destination, one_series in self._destinations(all_series):
            if one_series.series.status != "running" and name not in self.problems:
                yield self._attempt(name, action, name, destination, one_series.series)

    def _prepare(self, name: str, destination: dict[str, Any], series: Series) -> Callable[[], None] | None:
        sink = self._sink(name, destination)
        with self._writing(name, sink):
            return sink.prepare(series)

    def _deliver_artifacts(self, name: str, destination: dict[str, Any], series: Series) -> None:
        sink = self._sink(name, destination)
        with self._writing(name, sink):
            sink.deliver_artifacts(series)

    def _sink(self, name: str, destination: dict[str, Any]) -> Sink:
        key = json.dumps([name, destination], sort_keys=True)
        if key not in self._sinks:
            self._sinks[key] = open_sink(name, destination)
        return self._sinks[key]

    @contextlib.contextmanager
    def _writing(self, name: str, sink: Sink) -> Iterator[None]:
        """Hold the lock of a sink's database; UserError when another process keeps it."""
        path = sink.lock_file()
        with contextlib.ExitStack() as stack:
            if not stack.enter_context(locked(path, patience=0)):
                self._note(name, waits=True)
                if not stack.enter_context(locked(path, DATABASE_PATIENCE)):
                    raise UserError(f"{path}: held by another process for {DATABASE_PATIENCE:.0f} s")
                self._note(name)
            yield

    def _points_since(self, all_series: list[SeriesRecords]) -> list[SeriesRecords]:
        """Bring what was recorded meanwhile to the sinks that do not fail; return what there is now."""
        return all_series if self._journal_bytes() == self._size else self.deliver_points(last=False)

    def _journal_bytes(self) -> int:
        return sum(path.stat().st_size for _, path in journals(self.folder))

    def _attempt(self, name: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """What the action returns; None after an error, which is noted."""
        self._note(name)
        try:
            return action(*arguments)
        except Exception as error:  # whatever a back end does, the others and the run go on
            reason = SQLALCHEMY.split(" ".join(describe_error(error).split()))[0][:300] or type(error).__name__
            if DAMAGED.search(reason) and MEND not in reason:
                reason += f"; {MEND}"
            self.problems[name], self._failed[name] = reason, time.monotonic()
            return None

    def _note(self, doing: str | None = None, waits: bool = False) -> None:
        """Say how far the delivery is and what it is at, for its next process and for a run that ends."""
        note: dict[str, Any] = {"counts": self._counts, "ended": self._ended, "problems": self.problems}
        note |= {"pid": os.getpid(), "doing": doing, "waits": waits}
        with contextlib.suppress(
            OSError
        ):  # a full disk: without the note the delivery begins anew, which changes nothing
            write_json(self.folder / SYNC_NOTE, sealed(note))


def sync_run(folder: Path, only: str | None = None, patience: float = RUN_PATIENCE) -> dict[str, str]:
    """Deliver a run's folder once; return the problems by sink, and what is damaged by file."""
    with locked(folder / SYNC_LOCK, patience) as mine:
        if not mine:
            return {"sync": f"{folder.name} is being delivered by another process"}
        delivery = Delivery(folder, only)
        delivery.deliver_files(delivery.deliver_points())
        delivery.close()
    return delivery.problems | dict(text.split(": ", 1) for text in delivery.damage)


def follow(folder: Path, parent: int) -> dict[str, str]:
    """Deliver a run while its writer lives, then what is left, then its files."""
    while not wait_for_lock(folder / SYNC_LOCK, RUN_PATIENCE):
        if not _is_written(folder, parent):
            return {"sync": f"{folder.name} is being delivered by another process"}
    delivery = Delivery(folder)
    with ThreadPoolExecutor(1, initializer=lower_priority) as background:
        while _is_written(folder, parent):
            before = time.process_time()
            background.submit(delivery.deliver_points, last=False).result()
            spent = time.process_time() - before
            _wait_for_end(folder, parent, min(max(FOLLOW_SECONDS, spent / CPU_SHARE), LONGEST_PAUSE))
    all_series = delivery.deliver_points()  # at full priority, since the writer waits for it
    lower_priority()
    delivery.deliver_files(all_series)
    delivery.close()
    unlock(folder / SYNC_LOCK)
    return delivery.problems


def lower_priority() -> None:
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
        return read_json(folder / SYNC_NOTE, "")
    except (UserError, OSError):  # what it says is only found out anew
        return {}


def main() -> None:
    """The child of a run: `python -m trackstack.tracking.sync RUN_FOLDER PARENT`."""
    folder, parent = Path(sys.argv[1]), int(sys.argv[2])
    # MLflow makes millions of objects that stay; to look through them for garbage again and again takes long.
    gc.set_threshold(100_000, 20, 20)
    try:
        problems = follow(folder, parent)
    except (UserError, OSError) as error:
        sys.exit(describe_error(error))
    for name, reason in problems.items():
        print(f"{name}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
