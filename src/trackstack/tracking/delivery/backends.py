"""The back ends of a process that delivers: each opened once for all runs, and written by one thread at a time."""

from __future__ import annotations

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.system.locks import try_lock, unlock, wait_for_lock
from trackstack.tracking.sinks import IN_RUN_FOLDERS, Sink, open_sink

DATABASE_PATIENCE = 300.0
SLOW_SECONDS, LEFT_ALONE_SECONDS = 5.0, 60.0


def key_of(name: str, destination: dict[str, Any]) -> str:
    """What tells one back end from another: its name, and where it is."""
    return json.dumps([name, destination], sort_keys=True)


def name_of(key: str) -> str:
    """The name of a back end."""
    return json.loads(key)[0]


class BackEnds:
    """Opened when they are first used. One that fails slowly is left alone for a while, whoever asks for it."""

    def __init__(self) -> None:
        self._sinks: dict[tuple[str, Path | None], Sink] = {}
        self._locks: dict[Path, threading.Lock] = {}
        self._left_alone: dict[str, tuple[float, str]] = {}
        self.waiting: set[str] = set()
        """The keys of those whose turn at a database is yet to come."""

    def sink(self, key: str, folder: Path) -> Sink:
        """A back end as a run's folder sees it: TensorBoard's and W&B's files are in there.

        Raises:
            UserError: it is not to be had, or failed a moment ago and took its time.
        """
        until, reason = self._left_alone.get(key, (0.0, ""))
        if time.monotonic() < until:
            raise UserError(reason)
        name, destination = json.loads(key)
        place = key, folder if name in IN_RUN_FOLDERS else None
        if place not in self._sinks:
            self._sinks[place] = open_sink(name, destination)
        return self._sinks[place]

    def of_run(self, folder: Path) -> dict[str, Sink]:
        """By key: the back ends that are open for this run alone; they are forgotten."""
        found = [place for place in self._sinks if place[1] == folder]
        return {place[0]: self._sinks.pop(place) for place in found}

    def shared(self) -> dict[str, Sink]:
        """By key: the back ends that are open for all runs."""
        return {key: sink for (key, folder), sink in self._sinks.items() if folder is None}

    def failed(self, key: str, seconds: float, reason: str) -> None:
        """Note that a back end failed after so many seconds."""
        if seconds > SLOW_SECONDS:
            self._left_alone[key] = time.monotonic() + LEFT_ALONE_SECONDS, reason

    @contextlib.contextmanager
    def writing(
        self, path: Path | None, waits: Callable[[], contextlib.AbstractContextManager[None]]
    ) -> Iterator[None]:
        """Hold the lock of a database, which is the only one to write it, in this process and in all others.

        Args:
            waits: entered while somebody else has it.

        Raises:
            UserError: another process keeps it.
        """
        if path is None:
            yield
            return
        lock = self._locks.setdefault(path, threading.Lock())
        with contextlib.ExitStack() as stack:
            if not lock.acquire(blocking=False):
                with waits():
                    lock.acquire()
            stack.callback(lock.release)
            if not try_lock(path):
                with waits():
                    mine = wait_for_lock(path, DATABASE_PATIENCE)
                if not mine:
                    raise UserError(f"{path}: held by another process for {DATABASE_PATIENCE:.0f} s")
            stack.callback(unlock, path)
            yield
