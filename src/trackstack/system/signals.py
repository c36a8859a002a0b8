"""Which signals reached this process, whoever handles them: one that a framework swallows is an interruption, too.

Python tells of every signal that has a handler, by a pipe, before it calls the handler. There is one pipe: where an
event loop has it, handlers are put before those that are there. SIGTERM gets one in any case, since the default ends
a process without a word.
"""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from types import FrameType
from typing import Any

from trackstack.system import stopping
from trackstack.system.stopping import Interrupted

ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGUSR1)
PIPE_BYTES = 65536


class SignalWatch:
    """Notices, from its start to its stop, what asked this process to end.

    Only the main thread may look after signals: one that was started in another notices only what a `Stop` said.
    """

    def __init__(self) -> None:
        self._numbers: set[int] = set()
        self._taken_before, self._told_before = len(stopping.taken), len(stopping.told)
        self._is_installed = False
        self.is_ending = False
        """Set while the record is brought to its end, in which SIGTERM raises nothing."""

    def start(self) -> None:
        """Begin to notice."""
        collect()
        _watching.append(self)
        if threading.current_thread() is threading.main_thread():
            _install()
            self._is_installed = True

    def stop(self) -> None:
        """Notice no more; the handler of before comes back unless others have put theirs there."""
        collect()
        if self in _watching:
            _watching.remove(self)
        if not _watching and threading.current_thread() is threading.main_thread():
            _uninstall()

    def reason(self) -> str | None:
        """What asked to end, or None. A signal that a `Stop` took counts once its loop was told."""
        collect()
        if told := stopping.told[self._told_before :]:
            return told[0]
        numbers = self._numbers - set(stopping.taken[self._taken_before :])
        names = [signal.Signals(number).name for number in ENDING_SIGNALS if number in numbers]
        return f"signal {names[0]}" if names else None

    def is_deaf(self) -> bool:
        """Whether another, such as an event loop, has put its pipe in the place of this one's since the start."""
        if not self._is_installed or threading.current_thread() is not threading.main_thread():
            return False
        if (pipe := signal.set_wakeup_fd(-1)) != -1:
            signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)
        return pipe != _expected_pipe

    def note(self, number: int) -> None:
        """Remember a signal."""
        self._numbers.add(number)


_watching: list[SignalWatch] = []
_pipe: tuple[int, int] | None = None
_expected_pipe = -1
"""The one above, or an event loop's that was there when the last watch began."""
_handlers: list[tuple[signal.Signals, _Handler]] = []
"""Those that were put in the place of others, by their signals."""


def collect() -> None:
    """Take what the pipe holds, which has room for some ten thousand signals."""
    if _pipe is None:
        return
    with contextlib.suppress(BlockingIOError):
        while numbers := os.read(_pipe[0], PIPE_BYTES):
            for watch in _watching:
                for number in set(numbers):
                    watch.note(number)


def _install() -> None:
    global _pipe, _expected_pipe
    if _pipe is None:
        _pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.register_at_fork(after_in_child=_forget_in_child)
    others = signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)
    _expected_pipe = _pipe[1] if others == -1 else others
    if _expected_pipe != _pipe[1]:  # an event loop's, which must hear of its signals
        signal.set_wakeup_fd(others)
    for number in (signal.SIGTERM,) if _expected_pipe == _pipe[1] else ENDING_SIGNALS:
        before = signal.getsignal(number)
        if isinstance(before, _Handler):
            continue
        if callable(before) or (before is signal.SIG_DFL and number == signal.SIGTERM):
            _handlers.append((number, _Handler(before)))
            signal.signal(number, _handlers[-1][1])


def _uninstall() -> None:
    if _pipe is not None and (others := signal.set_wakeup_fd(-1)) not in (-1, _pipe[1]):
        signal.set_wakeup_fd(others)
    for number, handler in reversed(_handlers):
        before = handler.before
        if signal.getsignal(number) is handler:  # else another has put its own there, and may call it
            signal.signal(number, before)
    _handlers.clear()


def _forget_in_child() -> None:
    """A forked process has the pipe, too: what is sent to it, such as a worker's end, is not for its parent."""
    _watching.clear()
    _uninstall()


class _Handler:
    """Does what was done before; where that was the default, leaves the block, so that the run's end is recorded."""

    def __init__(self, before: Any):
        self.before = before

    def __call__(self, number: int, frame: FrameType | None) -> None:
        for watch in _watching:
            watch.note(number)
        if callable(self.before):
            self.before(number, frame)
        elif signal.getsignal(number) is not self:
            return  # whoever called this has taken over
        elif not _watching:
            signal.signal(number, signal.SIG_DFL)
            os.kill(os.getpid(), number)
        elif not any(watch.is_ending for watch in _watching):
            raise Interrupted(f"signal {signal.Signals(number).name}")
