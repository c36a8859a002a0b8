"""Carry the journals of a run to its back ends: in a home's deliverer, or as `trackstack sync`.

A run is delivered by one process at a time (a lock in its folder), a database is written by one process at a time
(a lock beside it). How far each back end has come is noted in the run's `sync.json`; the note may lag behind, since
sinks are idempotent. A back end that fails is named once and gets its backlog next time: while the run goes on only
after some minutes, and after the others, since a server that hangs would hold them up.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError, describe_error
from trackstack.system.lease import is_live
from trackstack.system.locks import close_lock, locked
from trackstack.tracking.db import DAMAGED, MEND
from trackstack.tracking.delivery.backends import BackEnds, key_of, name_of
from trackstack.tracking.delivery.note import SYNC_LOCK, read_note, write_note
from trackstack.tracking.journal import journals
from trackstack.tracking.series import RunFolder, SeriesRecords, group_attempts
from trackstack.tracking.sinks import IN_RUN_FOLDERS, OwnProcessNeededError, Series, Sink

RETRY_SECONDS = 300.0
PREPARE_POLL_SECONDS = 0.1
RUN_PATIENCE = 60.0
LONGEST_REASON = 300
SQLALCHEMY = re.compile(r" \[SQL: | \(Background on this error")
"""What MLflow's errors go on with: a page of SQL, and an address."""


class Snapshot(NamedTuple):
    """What the journals of a run say at one time."""

    series: list[SeriesRecords]
    ended: frozenset[int]
    """The attempts that have ended."""
    live: bool
    """Whether a process is writing the run."""


class Delivery:
    """Delivers one run's folder, as often as it is called, while this process holds its sync lock.

    Different back ends may be delivered to by different threads.
    """

    def __init__(self, folder: Path, back_ends: BackEnds | None = None, only: str | None = None):
        self.folder, self.only = folder, only
        self.back_ends = back_ends or BackEnds()
        self._run = RunFolder(folder)
        self.damage: list[str] = []
        """What of the journals is not as it was written."""
        note = read_note(folder)
        self._counts: dict[str, int] = note.get("counts", {})
        self._ended: list[int] = note.get("ended", [])
        self._filed: list[int] = note.get("filed", [])
        self._complete: dict[str, str] = {}
        self._reached: dict[str, frozenset[int]] = {}
        self._problems: dict[str, str] = {}
        self._failed: dict[str, float] = {}
        self._size = 0
        self._noting = threading.Lock()
        self._doing: set[str] = set()
        self._waits: set[str] = set()
        self._held_up: dict[str, list[str]] = {}

    @property
    def problems(self) -> dict[str, str]:
        """By the name of a back end: why it could not take everything."""
        return {name_of(key): reason for key, reason in self._problems.copy().items()}

    def read(self) -> Snapshot:
        """Read what is new in the journals."""
        self._size = self._journal_bytes()
        attempts = self._run.refresh()
        self.damage = self._run.damage(self._ended)
        ended = frozenset(attempt.number for attempt in attempts if attempt.end)
        live = is_live(self.folder)
        return Snapshot(group_attempts(self.folder, attempts, live), ended, live)

    def destinations(self, snapshot: Snapshot, last: bool = True) -> dict[str, list[SeriesRecords]]:
        """By key of a back end: the series that it is to get; those that failed come last.

        Args:
            last: try one that failed a moment ago as well; its time-outs would hold up the others.
        """
        found: dict[str, list[SeriesRecords]] = {}
        since = time.monotonic() - RETRY_SECONDS
        for one_series in snapshot.series:
            if self.damage and one_series.series.status == "lost":
                continue  # its end may be what is damaged, and back ends may have it
            for name, destination in one_series.series.destinations.items():
                key = key_of(name, destination)
                if self.only in (None, name) and (last or self._failed.get(key, since) <= since):
                    found.setdefault(key, []).append(one_series)
        return dict(sorted(found.items(), key=lambda item: item[0] in self._failed))

    def bring_points(self, key: str, all_series: list[SeriesRecords], ended: frozenset[int]) -> None:
        """Bring points and states to a back end; what it cannot take becomes a problem."""
        self._problems.pop(key, None)
        for one_series in all_series:
            self._attempt(key, self._deliver, key, one_series)
        self._reached[key] = ended

    def bring_files(self, key: str, all_series: list[SeriesRecords]) -> None:
        """Bring the files of ended series to a back end that has their points.

        Raises:
            OwnProcessNeededError: a module of the run has to be imported for it.
        """
        for series in (one_series.series for one_series in all_series):
            has_files = series.artifacts or name_of(key) in IN_RUN_FOLDERS  # which are closed by it
            if has_files and series.status != "running" and key not in self._problems:
                self._attempt(key, self._deliver_artifacts, key, series)

    def hold_up(self, snapshot: Snapshot, names: list[str]) -> None:
        """Note that back ends hang that ended attempts wait for."""
        with self._noting:
            self._held_up = {str(attempt): names for attempt in sorted(snapshot.ended) if names}
        self.note()

    def settle(self, snapshot: Snapshot, filed: bool = False) -> None:
        """Note what is out by now, for whoever waits.

        Args:
            filed: the files are, too.
        """
        if not snapshot.series:
            return  # nothing was recorded, or nothing can be read
        keys = [key for key in self.destinations(snapshot) if key not in self._problems]
        everywhere = snapshot.ended.intersection(*(self._reached.get(key, ()) for key in keys))
        with self._noting:
            self._ended = sorted({*self._ended, *everywhere})
            self._filed = sorted({*self._filed, *(everywhere if filed else ())})
            self._held_up = {}
        self.note()

    def deliver_points(self, last: bool = True) -> Snapshot:
        """Bring what there is to every back end, one after the other."""
        snapshot = self.read()
        for key, all_series in self.destinations(snapshot, last).items():
            self.bring_points(key, all_series, snapshot.ended)
        self.settle(snapshot)
        return snapshot

    def deliver_files(self, snapshot: Snapshot) -> None:
        """Bring the files of ended series to every back end, one after the other.

        What takes long about them is done first, without a database's lock; what fails there fails again below, and
        is reported then. A stage that follows, such as `evaluate`, waits for its points alone: those that come
        meanwhile go out.
        """
        with ThreadPoolExecutor(1) as pool:
            jobs = {pool.submit(job) for job in self._preparations(snapshot) if job}
            while wait(jobs, timeout=PREPARE_POLL_SECONDS).not_done:
                snapshot = self._points_since(snapshot)
        snapshot = self._points_since(snapshot)
        for key, all_series in self.destinations(snapshot).items():
            self.bring_files(key, all_series)
            self._points_since(snapshot)
        self.settle(snapshot, filed=True)

    def close(self) -> None:
        """Close what is open for this run alone."""
        for key, sink in self.back_ends.of_run(self.folder).items():
            self.close_one(key, sink)

    def close_one(self, key: str, sink: Sink) -> None:
        """Close a back end; what it could not write any more becomes a problem."""
        self._attempt(key, sink.close)

    def note(self) -> None:
        """Say how far the delivery is and what it is at, for its next process and for a run that ends."""
        with self._noting:
            note: dict[str, Any] = {"counts": self._counts.copy(), "ended": self._ended, "filed": self._filed}
            note |= {"problems": self.problems, "pid": os.getpid(), "doing": sorted(self._doing.copy())}
            note |= {"waits": bool(self._waits), "held_up": self._held_up}
            write_note(self.folder, note)

    def _deliver(self, key: str, records: SeriesRecords) -> None:
        series, sink = records.series, self.back_ends.sink(key, self.folder)
        state = json.dumps([series.status, series.reproduced, series.versions])
        count = f"{name_of(key)}:{series.key}"
        with self._writing(key, sink.lock_file()):
            if not sink.has(series) or self.damage:  # with a line left out, the count says nothing
                self._counts[count] = 0
            elif self._counts.get(count) == len(records.records) and self._complete.get(count) == state:
                return
            sink.deliver(series, records.records[self._counts.get(count, 0) :])
        self._counts[count], self._complete[count] = len(records.records), state

    def _preparations(self, snapshot: Snapshot) -> Iterator[Any]:
        """What takes long about each ended series and back end; None where there is nothing, or it failed."""
        for key, all_series in self.destinations(snapshot).items():
            for one_series in all_series:
                if one_series.series.status != "running" and key not in self._problems:
                    yield self._attempt(key, self._prepare, key, one_series.series)

    def _prepare(self, key: str, series: Series) -> Callable[[], None] | None:
        sink = self.back_ends.sink(key, self.folder)
        with self._writing(key, sink.lock_file()):
            return sink.prepare(series)

    def _deliver_artifacts(self, key: str, series: Series) -> None:
        sink = self.back_ends.sink(key, self.folder)
        with self._writing(key, sink.lock_file()):
            sink.deliver_artifacts(series)

    def _writing(self, key: str, path: Path | None) -> contextlib.AbstractContextManager[None]:
        return self.back_ends.writing(path, lambda: self._waiting(key))

    @contextlib.contextmanager
    def _waiting(self, key: str) -> Iterator[None]:
        """Note, during the block, that the turn of this run at a database is yet to come."""
        self._waits.add(key)
        self.back_ends.waiting.add(key)
        self.note()
        try:
            yield
        finally:
            self._waits.discard(key)
            self.back_ends.waiting.discard(key)
            self.note()

    def _points_since(self, snapshot: Snapshot) -> Snapshot:
        """Bring what was recorded meanwhile to the sinks that do not fail; return what there is now."""
        return snapshot if self._journal_bytes() == self._size else self.deliver_points(last=False)

    def _journal_bytes(self) -> int:
        return sum(path.stat().st_size for _, path in journals(self.folder))

    def _attempt(self, key: str, action: Callable[..., Any], *arguments: Any) -> Any:
        """What the action returns; None after an error, which is noted."""
        self._doing.add(name_of(key))
        self.note()
        began = time.monotonic()
        try:
            return action(*arguments)
        except OwnProcessNeededError:
            raise
        except Exception as error:  # whatever a back end does, the others and the run go on
            reason = SQLALCHEMY.split(" ".join(describe_error(error).split()))[0] or type(error).__name__
            if not isinstance(error, UserError):  # which may end with a command to type
                reason = reason[:LONGEST_REASON]
            if DAMAGED.search(reason) and MEND not in reason:
                reason += f"; {MEND}"
            self._problems[key], self._failed[key] = reason, time.monotonic()
            self.back_ends.failed(key, time.monotonic() - began, reason)
            return None
        finally:
            self._doing.discard(name_of(key))


def sync_run(
    folder: Path, only: str | None = None, patience: float = RUN_PATIENCE, back_ends: BackEnds | None = None
) -> dict[str, str]:
    """Deliver a run's folder once; return the problems by sink, and what is damaged by file.

    Args:
        back_ends: those that are open for other runs already.
    """
    with locked(folder / SYNC_LOCK, patience) as mine:
        if not mine:
            return {"sync": f"{folder.name} is being delivered by another process"}
        delivery = Delivery(folder, back_ends, only)
        delivery.deliver_files(delivery.deliver_points())
        delivery.close()
    close_lock(folder / SYNC_LOCK)
    return delivery.problems | dict(text.split(": ", 1) for text in delivery.damage)


def lower_priority() -> None:
    """Give this thread, and what it starts, the lowest priority. There is no way back without privileges."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), 19)


def main() -> None:
    """Deliver a run whose files need its own modules: `python -m trackstack.tracking.sync RUN_FOLDER`."""
    lower_priority()
    try:
        problems = sync_run(Path(sys.argv[1]))
    except (UserError, OSError) as error:
        sys.exit(describe_error(error))
    for name, reason in problems.items():
        print(f"{name}: {reason}", file=sys.stderr)


if __name__ == "__main__":
    main()
