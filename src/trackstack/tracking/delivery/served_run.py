"""One run in the hands of a deliverer, from the first record to the last file.

What it does is written as a generator that never waits: it yields instead, and the deliverer goes round.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import dataclass, field
from pathlib import Path

from trackstack.system.locks import close_lock, try_lock
from trackstack.tracking.delivery.backends import BackEnds, name_of
from trackstack.tracking.delivery.note import SYNC_LOCK, read_note
from trackstack.tracking.delivery.place import Waiting
from trackstack.tracking.delivery.worker import Workers
from trackstack.tracking.sinks import OwnProcessNeededError
from trackstack.tracking.sync import Delivery, Snapshot

FIRST_SECONDS = 3.0
"""Shorter runs are delivered once, when they have ended."""
FOLLOW_SECONDS, LONGEST_PAUSE = 5.0, 30.0
CPU_SHARE = 0.003  # of a core, in the long run: on many machines a busy neighbour makes a core slower
LOCK_SECONDS = 0.5
PROCESS_SECONDS, MOST_PROCESSES = 1800.0, 2


@dataclass
class Shared:
    """What the runs of a deliverer have together."""

    wake: Callable[[object], None]
    """Called from any thread when there is something to go on with."""
    back_ends: BackEnds = field(default_factory=BackEnds)
    workers: Workers = field(default_factory=Workers)
    """By the key of a back end."""
    processes: int = 0
    """How many deliver the files of a run at present; see `ServedRun._own_process`."""


class ServedRun:
    """See above; `steps` is the generator."""

    def __init__(self, folder: Path, shared: Shared):
        self.folder = folder
        self.entries: dict[Path, Waiting] = {}
        """The attempts that wait."""
        self.steps = self._serve()
        self._shared = shared
        self._delivery = Delivery(folder, shared.back_ends)
        self._jobs: dict[str, Future] = {}
        self._news = False
        self._needs_process = False
        self._had_process: set[Path] = set()

    def update(self, entries: dict[Path, Waiting]) -> None:
        """Take what its attempts say by now."""
        self._news |= any(entry.ended and self.entries.get(file) != entry for file, entry in entries.items())
        self.entries = entries

    def _serve(self) -> Iterator[None]:
        yield from self._pause(FIRST_SECONDS)
        yield from self._take()
        while True:
            self._news, seen = False, self.entries
            began = time.process_time()
            snapshot = self._delivery.read()
            if snapshot.live and not all(entry.ended for entry in seen.values()):
                yield from self._points(snapshot, urgent=False)
                spent = time.process_time() - began
                yield from self._pause(min(max(FOLLOW_SECONDS, spent / CPU_SHARE), LONGEST_PAUSE))
                continue
            yield from self._points(snapshot, urgent=True)
            yield from self._files(snapshot)
            if self._needs_process and self._had_process != seen.keys() and not self._news:
                yield from self._own_process(seen)
            if not self._news and seen.keys() == self.entries.keys():
                break
        yield from self._release()
        for file in seen:
            file.unlink(missing_ok=True)

    def _pause(self, seconds: float) -> Iterator[None]:
        """Until so much time has passed, or an attempt says that it has ended."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and not self._news:
            yield

    def _take(self) -> Iterator[None]:
        """Take the run's lock, as soon as no other process delivers it."""
        while not try_lock(self.folder / SYNC_LOCK):
            until = time.monotonic() + LOCK_SECONDS
            while time.monotonic() < until:
                yield
        self._delivery = Delivery(self.folder, self._shared.back_ends)

    def _release(self) -> Iterator[None]:
        for key, sink in self._shared.back_ends.of_run(self.folder).items():
            self._submit(key, False, self._delivery.close_one, key, sink)
        while self._collect():
            yield
        close_lock(self.folder / SYNC_LOCK)

    def _points(self, snapshot: Snapshot, urgent: bool) -> Iterator[None]:
        """Bring what there is to every back end; one that hangs is waited for only by a run that has ended."""
        to_send, noted = self._delivery.destinations(snapshot, last=urgent), None
        while True:
            self._collect()
            for key in [key for key in to_send if key not in self._jobs]:
                self._submit(key, urgent, self._delivery.bring_points, key, to_send.pop(key), snapshot.ended)
            unfinished = {*self._jobs, *to_send}
            hanging = unfinished & self._shared.workers.hanging
            if not unfinished or (not urgent and (self._news or unfinished == hanging)):
                break
            if hanging != noted:
                self._delivery.hold_up(snapshot, sorted(map(name_of, hanging)))
                noted = hanging
            yield
        self._delivery.settle(snapshot)

    def _files(self, snapshot: Snapshot) -> Iterator[None]:
        """Bring the files of what has ended to the back ends; points of a stage that follows go first."""
        self._needs_process = False
        for key, all_series in self._delivery.destinations(snapshot).items():
            self._submit(key, False, self._delivery.bring_files, key, all_series)
        while self._collect() and not self._news:
            yield
        if not self._news and not self._needs_process:
            self._delivery.settle(snapshot, filed=True)

    def _own_process(self, entries: dict[Path, Waiting]) -> Iterator[None]:
        """Let a process that can import the modules of this run, and no other's, bring its files."""
        self._had_process = set(entries)
        while self._shared.processes >= MOST_PROCESSES:
            yield
        yield from self._release()
        folders = os.pathsep.join(next((entry.import_folders for entry in reversed(entries.values())), []))
        self._shared.processes += 1
        try:
            process = subprocess.Popen(
                [sys.executable, "-P", "-m", "trackstack.tracking.sync", str(self.folder)],
                env={**os.environ, "PYTHONPATH": folders},
            )
            until = time.monotonic() + PROCESS_SECONDS
            while process.poll() is None:
                if time.monotonic() > until:
                    process.kill()
                yield
        finally:
            self._shared.processes -= 1
        if not self._is_filed():
            self._news = True
        yield from self._take()

    def _is_filed(self) -> bool:
        note = read_note(self.folder)
        return set(note.get("ended", [])) <= set(note.get("filed", []))

    def _submit(self, key: str, urgent: bool, job: Callable[..., None], *arguments: object) -> None:
        self._jobs[key] = self._shared.workers[key].submit(urgent, job, *arguments)
        self._jobs[key].add_done_callback(self._shared.wake)

    def _collect(self) -> bool:
        """Take the jobs that are done; whether some are not."""
        for key in [key for key, job in self._jobs.items() if job.done()]:
            error = self._jobs.pop(key).exception()
            if isinstance(error, OwnProcessNeededError):
                self._needs_process = True
            elif error is not None:
                raise error
        return bool(self._jobs)
