"""The threads of one back end: one that hangs holds up nobody but itself.

Each has two, of which one works at a time: runs that go on are served at the lowest priority, so that the loop beside
it is not slowed down, and runs that have ended at full priority, as they wait.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

from trackstack.system.activity import BUSY, WatchersClock, process_activity, thread_activity
from trackstack.tracking.sync import lower_priority

QUIET_SECONDS, LONGEST_QUIET_SECONDS = 5.0, 30.0
BUSY_CPU_SECONDS = 0.05


class Worker:
    """Does the jobs of one back end, one after the other."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._urgent = ThreadPoolExecutor(1)
        self._background = ThreadPoolExecutor(1, initializer=lower_priority)
        self._thread: int | None = None
        self._jobs = 0
        self._seen: tuple[int | None, int, float] = (None, 0, 0.0)
        self._since = 0.0

    def submit(self, urgent: bool, job: Callable[..., Any], *arguments: Any) -> Future:
        """Let a job be done; urgent ones come first."""
        return (self._urgent if urgent else self._background).submit(self._do, job, *arguments)

    @property
    def is_at_work(self) -> bool:
        """Whether it has a job."""
        return self._thread is not None

    def quiet_seconds(self, now: float, waits: bool) -> float:
        """For how long the present job has done nothing; to be asked again and again, by one thread.

        Args:
            now: seconds, by the clock of whoever asks.
            waits: it only waits for its turn.
        """
        thread = self._thread
        is_busy, cpu = thread_activity(thread) if thread else BUSY
        *last, last_cpu = self._seen
        if waits or is_busy or [thread, self._jobs] != last or cpu - last_cpu > BUSY_CPU_SECONDS:
            self._seen, self._since = (thread, self._jobs, cpu), now
        return now - self._since

    def _do(self, job: Callable[..., Any], *arguments: Any) -> Any:
        with self._turn:
            self._thread, self._jobs = threading.get_native_id(), self._jobs + 1
            try:
                return job(*arguments)
            finally:
                self._thread = None


class Workers:
    """The workers of a process, each made when it is first asked for, and which of them hang."""

    def __init__(self) -> None:
        self._workers: defaultdict[str, Worker] = defaultdict(Worker)
        self._clock = WatchersClock()
        self._busy_at = 0.0
        self.hanging: set[str] = set()
        """The keys of the back ends that hang."""

    def __getitem__(self, key: str) -> Worker:
        return self._workers[key]

    def look(self, waiting: set[str]) -> None:
        """See which of them hang.

        Where others are at work, or want to, a thread may do nothing for a while: Python lets one run at a time, and
        that one may have to wait for a busy machine.

        Args:
            waiting: the keys of those that only wait for their turn at a database.
        """
        now = self._clock.look()
        if not any(worker.is_at_work for worker in self._workers.values()):
            self.hanging = set()
            return
        quiet = {key: worker.quiet_seconds(now, key in waiting) for key, worker in self._workers.items()}
        others = process_activity(leave_out=threading.get_native_id())
        if others and others.is_busy:
            self._busy_at = now
        patience = QUIET_SECONDS if now - self._busy_at > QUIET_SECONDS else LONGEST_QUIET_SECONDS
        self.hanging = {key for key, seconds in quiet.items() if seconds > patience}
