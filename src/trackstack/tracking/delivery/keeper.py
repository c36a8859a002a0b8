"""What a run does for its delivery: it keeps a deliverer alive and, at its end, waits until its points are out.

No tail is to stay behind: on a cluster the deliverer dies with the job. So an ending run waits until its points are
out, for as long as the delivery goes forward or waits for its turn at a database. What a back end keeps hanging is
left to the deliverer, and to `trackstack sync`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.system.activity import WatchersClock, process_activity
from trackstack.system.locks import try_lock, unlock
from trackstack.tracking.delivery.note import read_note
from trackstack.tracking.delivery.place import PACKAGE, Place, own_place

SYNC_WAIT_SECONDS = 300.0
QUIET_SECONDS = 5.0
BUSY_CPU_SECONDS = 0.05
POLL_SECONDS, LONGEST_POLL_SECONDS, LOOK_SECONDS, SOON_SECONDS = 0.02, 0.2, 5.0, 0.5
MOST_FAILURES = 2


def longest_wait() -> float:
    """TRACKSTACK_SYNC_WAIT in seconds.

    Raises:
        UserError: it is no number.
    """
    value = os.environ.get("TRACKSTACK_SYNC_WAIT") or SYNC_WAIT_SECONDS
    try:
        return float(value)
    except ValueError:
        raise UserError(f"TRACKSTACK_SYNC_WAIT is {value!r}; expected seconds, such as 60") from None


class Keeper:
    """Keeps a deliverer alive for one attempt at a run, in a thread of its own."""

    def __init__(self, home: Path, run: str, attempt: int):
        self.place = own_place(home)
        self.failures = 0
        """How often a deliverer that was started here failed."""
        self._run, self._attempt = run, attempt
        self._child: subprocess.Popen | None = None
        self._starting = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="trackstack-delivery", daemon=True)
        self._thread.start()

    def end(self) -> None:
        """Say that the attempt has ended; from now on somebody else has to call `look`."""
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(OSError):  # whoever sees that its lease is free knows it, too
            self.place.put(self._run, self._attempt, _import_folders(), ended=True)
            self.look()

    def look(self) -> bool:
        """Start a deliverer unless there is one, or another run is starting one; whether there is one.

        The lock of whoever starts one keeps many runs that begin at once from starting many.
        """
        child = self._child and self._child.poll()
        if self.place.is_served():
            self._let_go()
            return True
        if self._starting and child is None:
            return False
        if self._starting and child not in (0, -signal.SIGKILL, -signal.SIGTERM):
            self.failures += 1
        if self.failures < MOST_FAILURES and try_lock(self.place.starting):
            self._starting, self._child = True, _start(self.place)
        return False

    def _let_go(self) -> None:
        if self._starting:
            unlock(self.place.starting)
            self._starting = False

    def _keep(self) -> None:
        seconds, waits = 0.0, False
        while not self._stop.wait(seconds):
            seconds = SOON_SECONDS
            with contextlib.suppress(OSError):  # there may be no process to be had, or no room, for a while
                if not waits:
                    self.place.put(self._run, self._attempt, _import_folders())
                waits = True
                seconds = LOOK_SECONDS if self.look() else SOON_SECONDS


def _start(place: Place) -> subprocess.Popen:
    """Start a deliverer.

    It outlives its parent, and no signal from the terminal reaches it. Where the kernel shares out the CPU by
    sessions (autogroup), its own session also keeps a busy machine from starving it. It looks for modules where this
    process does, but only after its own: it serves others, too.
    """
    command = [sys.executable, "-P", "-m", "trackstack.tracking.delivery"]
    with place.log.open("a") as log:
        return subprocess.Popen(
            [*command, str(place.home), str(place.folder), *_import_folders()],
            cwd=place.folder,
            env={**os.environ, "PYTHONPATH": PACKAGE},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _import_folders() -> list[str]:
    """Where a process that delivers looks for modules: where this one does, so that it can import a model's loader.

    The folder of the script comes last: its `evaluate.py` would hide a package `evaluate` from everybody else.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    last = str(Path(script).parent.absolute() if script else Path.cwd())
    folders = [str(Path(entry).absolute()) for entry in sys.path]
    ordered = [PACKAGE, *(folder for folder in folders if folder != last), last]
    return [folder for folder in dict.fromkeys(ordered) if Path(folder).exists() and os.pathsep not in folder]


def wait_for_delivery(keeper: Keeper, folder: Path, attempt: int, patience: float, whole: bool) -> None:
    """Wait until the points of an ended attempt are out; then name the back ends that could not take them.

    Args:
        patience: at most this many seconds.
        whole: wait for artifacts as well: our code and folder may be gone soon.
    """
    watch, what, pause = Watch(), "filed" if whole else "ended", POLL_SECONDS
    deadline = time.monotonic() + patience
    look_at = time.monotonic() + SOON_SECONDS
    while time.monotonic() < deadline:
        note = read_note(folder)
        if attempt in note.get(what, []) or str(attempt) in note.get("held_up", {}):
            break
        if "sync" in note.get("problems", {}):
            break
        if time.monotonic() > look_at:
            with contextlib.suppress(OSError):
                keeper.look()
            if (
                keeper.failures >= MOST_FAILURES
                or watch.quiet_seconds(note, keeper.place.deliverer()) > QUIET_SECONDS
            ):
                break
            look_at = time.monotonic() + SOON_SECONDS
        time.sleep(pause)
        pause = min(1.1 * pause, LONGEST_POLL_SECONDS)  # many may wait at once, and take the CPU from the delivery
    for name, reason in _problems(read_note(folder), keeper, attempt).items():
        print(f"warning: {name}: {reason}; nothing is lost: trackstack sync delivers it", file=sys.stderr)


class Watch:
    """Distinguishes a delivery that goes forward, or waits for its turn, from one that does neither."""

    def __init__(self) -> None:
        self._note: dict[str, Any] = {}
        self._cpu = self._since = 0.0
        self._clock = WatchersClock()

    def quiet_seconds(self, note: dict[str, Any], deliverer: int | None) -> float:
        """For how long nothing has happened; to be called again and again.

        Args:
            deliverer: the process to look at unless the note names another one, which delivers this run just now.
        """
        now = self._clock.look()
        processes = [pid for pid in (note.get("pid"), deliverer) if pid]
        is_busy, cpu = next(filter(None, map(process_activity, processes)), (False, 0.0))
        if is_busy or note != self._note or note.get("waits") or abs(cpu - self._cpu) > BUSY_CPU_SECONDS:
            self._note, self._cpu, self._since = note, cpu, now
        return now - self._since


def _problems(note: dict[str, Any], keeper: Keeper, attempt: int) -> dict[str, str]:
    """By back end: why it does not have everything."""
    problems = dict(note.get("problems", {}))
    if attempt in note.get("ended", []):
        return problems
    if keeper.failures >= MOST_FAILURES:
        return problems or {"sync": f"the delivery does not start, see {keeper.place.log}"}
    names = note.get("held_up", {}).get(str(attempt)) or note.get("doing") or ["sync"]
    return dict.fromkeys(names, "it takes long, and the delivery goes on by itself") | problems
