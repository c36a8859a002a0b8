"""Processes that a test starts, reads from and waits for, but not for ever."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

from support.projects import command_environment

PATIENCE = 900.0
"""Seconds until what never comes fails a test: with many others at work on a machine, all takes ten times as long."""


def until(holds: Callable[[], object], what: str, seconds: float = PATIENCE) -> None:
    """Wait until something holds; it fails the test when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.03)


@contextlib.contextmanager
def started(command: str | list[str], seconds: float = PATIENCE, **options: Any) -> Iterator[subprocess.Popen]:
    """A process, with its output in a pipe, which is ended at the end.

    After `seconds` it and all of its group are killed: whoever waits for it or reads from it goes on, and sees that.
    """
    options = {"env": command_environment(), "stdout": subprocess.PIPE} | options
    process = subprocess.Popen(command, text=True, start_new_session=True, **options)

    def kill() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    limit = threading.Timer(seconds, kill)
    limit.daemon = True
    limit.start()
    try:
        with process:
            try:
                yield process
            finally:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(20)
                kill()
    finally:
        limit.cancel()
