"""When a long computation has to end early: a stop file, a deadline, a signal, or a `dvc` that is gone.

with Stop() as stop:
    for step in range(1000):
        if reason := stop.reason():
            checkpoints.save(step, state)
            raise Interrupted(reason)
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import psutil

from trackstack import UserError, describe_error
from trackstack.system.room import is_no_room

EXIT_INTERRUPTED = 75  # EX_TEMPFAIL of sysexits.h: try again
LOOK_SECONDS = 0.2  # a look at a file may cost a millisecond on a network file system
DEADLINE_MARGIN_SECONDS = 5.0
told: list[str] = []
"""The reasons that loops of this process were told; a run that then ends well was interrupted all the same."""
taken: list[int] = []
"""The signals that a `Stop` took as requests, whether its loop has asked since or not."""
pauses: list[str] = []
"""Why this process is to end for now, be it with a result in sight: its search waits for others."""
_entered: list[Stop] = []


class Interrupted(SystemExit):
    """Ends the process with exit code 75: the work is not done, and starting it again goes on with it."""

    def __init__(self, reason: str):
        super().__init__(EXIT_INTERRUPTED)
        self.reason = reason

    def __str__(self) -> str:
        return self.reason


@contextlib.contextmanager
def needs_room() -> Iterator[None]:
    """Where nothing is done yet, a full disk ends the process by a line: a person's own script catches no OSError.

    Raises:
        Interrupted: there is no room.
    """
    try:
        yield
    except OSError as error:
        if not is_no_room(error):
            raise
        print(describe_error(error), file=sys.stderr)
        raise Interrupted(describe_error(error)) from None


def pause(reason: str) -> None:
    """End this training for now: by its `Stop`, or at once where no loop asks one.

    Raises:
        Interrupted: there is no `Stop` that would say it.
    """
    pauses.append(reason)
    if not _entered:
        raise Interrupted(reason)


class Stop:
    """Knows whether to stop; while it is entered, SIGTERM and SIGINT are requests and end nothing by themselves.

    `TRACKSTACK_STOP_FILE` names a file whose appearance is a request, `TRACKSTACK_DEADLINE` a time in seconds since
    1970 by which everything has to be over, and `TRACKSTACK_SUPERVISOR` the process without which nobody waits for a
    result. Under DVC the end of `dvc` is a request too: what an orphan writes would
    overwrite the outputs of a later run.

    Raises:
        UserError: the deadline is no number.
    """

    def __init__(self) -> None:
        file = os.environ.get("TRACKSTACK_STOP_FILE")
        self._file = Path(file) if file else None
        self._deadline = _deadline()
        self._dvc = _dvc_above() if "DVC_STAGE" in os.environ else None
        self._supervisor = _supervisor()
        self._reason: str | None = None
        self._is_told = False
        self._next_look = 0.0
        self._handlers: dict[int, Any] = {}

    def __enter__(self) -> Stop:
        _entered.append(self)
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        _entered.remove(self)
        for number, handler in self._handlers.items():
            signal.signal(number, handler)

    def reason(self) -> str | None:
        """Why to stop, or None; cheap enough for every step."""
        now = time.monotonic()
        if self._reason is None and pauses:
            self._reason = pauses[0]
        if self._reason is None and now >= self._next_look:
            self._next_look = now + LOOK_SECONDS
            self._reason = self._look()
        if self._reason is not None and not self._is_told:
            told.append(self._reason)
            self._is_told = True
        return self._reason

    def _look(self) -> str | None:
        if self._file and self._file.exists():
            return f"the stop file {self._file} is there"
        if self._deadline and time.time() >= self._deadline - DEADLINE_MARGIN_SECONDS:
            return "the deadline is near"
        if self._dvc and not is_running(self._dvc):
            return "the dvc that started it is gone"
        if self._supervisor and not is_running(self._supervisor):
            return "the job that started it is gone"
        return None

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        taken.append(number)
        if self._reason is not None and number == signal.SIGINT:
            raise KeyboardInterrupt  # asked for twice
        self._reason = f"signal {signal.Signals(number).name}"


def is_running(process: psutil.Process) -> bool:
    """Whether it lives: neither gone, nor dead and not yet waited for."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _dvc_above() -> psutil.Process | None:
    """The `dvc` that started this stage: the nearest ancestor that is not in the stage's own environment.

    None where it cannot be seen, as from within some containers.
    """
    for parent in psutil.Process().parents():
        try:
            if "DVC_STAGE" not in parent.environ():
                return parent
        except psutil.Error:
            return None
    return None


def _supervisor() -> psutil.Process | None:
    host, _, pid = os.environ.get("TRACKSTACK_SUPERVISOR", "").rpartition(":")
    if host != socket.gethostname():  # a process of a job on several nodes
        return None
    with contextlib.suppress(psutil.NoSuchProcess, ValueError):  # in a container that does not show it
        return psutil.Process(int(pid))
    return None


def _deadline() -> float | None:
    text = os.environ.get("TRACKSTACK_DEADLINE")
    try:
        return float(text) if text else None
    except ValueError:
        raise UserError(
            f"TRACKSTACK_DEADLINE is {text!r}; expected seconds since 1970, such as $(date -d '+1 hour' +%s)"
        ) from None
