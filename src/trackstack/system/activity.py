"""What the threads of a process do, as Linux tells it; elsewhere nothing is known, and they count as at work."""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

PROC = Path("/proc")
TICKS = 100
"""Of a second, in which CPU is counted."""


class Activity(NamedTuple):
    """Of a thread."""

    is_busy: bool
    """It wants the CPU, or waits for a disk."""
    cpu: float
    """Seconds that it has had."""


BUSY = Activity(True, 0.0)
LONGEST_STEP_SECONDS = 1.5


class WatchersClock:
    """Seconds by the clock of somebody who looks again and again: time in which it could not look hardly counts.

    A process that was stopped, or starved on a busy machine, has not seen that another one did nothing meanwhile.
    """

    def __init__(self) -> None:
        self._looked_at, self._now = time.monotonic(), 0.0

    def look(self) -> float:
        """The seconds so far; each look adds what has passed since the last one, but not more than a step."""
        passed, self._looked_at = time.monotonic() - self._looked_at, time.monotonic()
        self._now += min(passed, LONGEST_STEP_SECONDS)
        return self._now


def thread_activity(thread: int, process: int | str = "self") -> Activity:
    """What a thread does; one that has ended counts as busy."""
    try:
        fields = (PROC / f"{process}/task/{thread}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return BUSY
    return Activity(fields[0] in "RD", (int(fields[11]) + int(fields[12])) / TICKS)


def process_activity(process: int | str = "self", leave_out: int = 0) -> Activity | None:
    """What the threads of a process do together, but for one; None when there is no such process."""
    threads = [int(folder.name) for folder in (PROC / f"{process}/task").glob("*")]
    if not threads:
        return None if PROC.is_dir() else BUSY
    found = [thread_activity(thread, process) for thread in threads if thread != leave_out]
    return Activity(any(one.is_busy for one in found), sum(one.cpu for one in found))
