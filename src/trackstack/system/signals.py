"""Which signals reached this process, whoever handles them: one that a framework swallows is an interruption, too.

Python tells of every signal that has a handler, by a pipe, before it calls the handler; so no handler of others is
replaced for it. SIGTERM alone gets one where nobody has one, since the default ends a process without a word.
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
        self.is_ending = False
        """Set while the record is brought to its end, in which SIGTERM raises nothing."""

    def start(self) -> None:
        """Begin to notice."""
        collect()
        _watching.append(self)
        if threading.current_thread() is threading.main_thread():
            _install()

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

    def note(self, number: int) -> None:
        """Remember a signal."""
        self._numbers.add(number)


_watching: list[SignalWatch] = []
_pipe: tuple[int, int] | None = None
_before: Any = signal.SIG_DFL
"""What handled SIGTERM before."""
_is_installed = False
"""Whether the handler below is in use, perhaps by another that calls it: put there once more it would call itself."""


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
    global _pipe, _before, _is_installed
    if _pipe is None:
        _pipe = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
        os.register_at_fork(after_in_child=_forget_in_child)
    others = signal.set_wakeup_fd(_pipe[1], warn_on_full_buffer=False)
    if others not in (-1, _pipe[1]):  # an event loop's, which must hear of its signals
        signal.set_wakeup_fd(others)
    handler = signal.getsignal(signal.SIGTERM)
    if handler is signal.SIG_DFL or (callable(handler) and not _is_installed):
        _before, _is_installed = handler, True
        signal.signal(signal.SIGTERM, _on_sigterm)


def _uninstall() -> None:
    global _is_installed
    if _pipe is not None and (others := signal.set_wakeup_fd(-1)) not in (-1, _pipe[1]):
        signal.set_wakeup_fd(others)
    if signal.getsignal(signal.SIGTERM) is _on_sigterm:
        signal.signal(signal.SIGTERM, _before)
        _is_installed = False


def _forget_in_child() -> None:
    """A forked process has the pipe, too: what is sent to it, such as a worker's end, is not for its parent."""
    _watching.clear()
    _uninstall()


def _on_sigterm(number: int, frame: FrameType | None) -> None:
    """Do what was done before; where that was the default, leave the block, so that the run's end is recorded."""
    for watch in _watching:
        watch.note(number)
    if signal.getsignal(number) is not _on_sigterm:
        return  # whoever called this has taken over
    if callable(_before):
        _before(number, frame)
    elif not _watching:
        signal.signal(number, signal.SIG_DFL)
        os.kill(os.getpid(), number)
    elif not any(watch.is_ending for watch in _watching):
        raise Interrupted(f"signal {signal.Signals(number).name}")
