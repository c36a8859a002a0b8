"""The child process that delivers a run while it goes on, and how long an ending run waits for it.

No tail is to stay behind: on a cluster the child dies with the job. So an ending run waits until its points are
out, for as long as the delivery goes forward or waits for its turn at a database. What a back end keeps hanging is
left to the child, and to `trackstack sync`.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psutil

from trackstack import UserError
from trackstack.tracking.sync import read_note

SYNC_WAIT_SECONDS = 300.0
QUIET_SECONDS = 5.0
BUSY_CPU_SECONDS = 0.05
POLL_SECONDS = 0.02


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


def start_child(folder: Path) -> subprocess.Popen:
    """Start to deliver the run in `folder`.

    The child outlives its parent until all is out, and no signal from the terminal reaches it. Where the kernel
    shares out the CPU by sessions (autogroup), its own session also keeps a busy machine from starving it.
    """
    with (folder / "sync.log").open("a") as log:
        return subprocess.Popen(
            [sys.executable, "-P", "-m", "trackstack.tracking.sync", str(folder), str(os.getpid())],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(_import_folders())},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )


def _import_folders() -> list[str]:
    """Where the child looks for modules: where this process does, so that it can import the loader of a model.

    The folder of the script comes last: its `evaluate.py` would hide a package `evaluate` from everybody else.
    """
    script = getattr(sys.modules["__main__"], "__file__", None)
    last = str(Path(script).parent.absolute() if script else Path.cwd())
    folders = [str(Path(entry).absolute()) for entry in sys.path]
    package = str(Path(__file__).resolve().parents[2])
    ordered = [package, *(folder for folder in folders if folder != last), last]
    return [folder for folder in dict.fromkeys(ordered) if Path(folder).exists() and os.pathsep not in folder]


def wait_for_child(child: subprocess.Popen, folder: Path, attempt: int, patience: float, whole: bool) -> None:
    """Wait until the points of an ended attempt are out; then name the back ends that could not take them.

    Args:
        patience: at most this many seconds.
        whole: wait for artifacts as well: our code and folder may be gone soon.
    """
    watch = Watch()
    deadline = time.monotonic() + patience
    while child.poll() is None and time.monotonic() < deadline:
        note = read_note(folder)
        if attempt in note.get("ended", []) and not whole:
            break
        if watch.quiet_seconds(note, child.pid) > QUIET_SECONDS:
            break
        time.sleep(POLL_SECONDS)
    for name, reason in _problems(read_note(folder), child, folder, attempt).items():
        print(f"warning: {name}: {reason}; nothing is lost: trackstack sync delivers it", file=sys.stderr)


class Watch:
    """Distinguishes a delivery that goes forward, or waits for its turn, from one that a back end keeps hanging."""

    def __init__(self) -> None:
        self._note: dict[str, Any] = {}
        self._cpu = 0.0
        self._since = time.monotonic()

    def quiet_seconds(self, note: dict[str, Any], child: int) -> float:
        """For how long nothing has happened; to be called again and again.

        Args:
            child: the process to look at unless the note names another one, which delivers this run just now.
        """
        is_busy, cpu = _activity(note.get("pid", child)) or _activity(child) or (False, 0.0)
        if is_busy or note != self._note or note.get("waits") or abs(cpu - self._cpu) > BUSY_CPU_SECONDS:
            self._note, self._cpu, self._since = note, cpu, time.monotonic()
        return time.monotonic() - self._since


def _activity(pid: int) -> tuple[bool, float] | None:
    """Whether a process wants the CPU or waits for a disk, and the CPU time that it has used."""
    try:
        process = psutil.Process(pid)
        with process.oneshot():
            times = process.cpu_times()
            is_busy = process.status() in (psutil.STATUS_RUNNING, psutil.STATUS_DISK_SLEEP)
            return is_busy, times.user + times.system
    except psutil.Error:
        return None


def _problems(note: dict[str, Any], child: subprocess.Popen, folder: Path, attempt: int) -> dict[str, str]:
    """By back end: why it does not have everything."""
    problems = dict(note.get("problems", {}))
    if attempt in note.get("ended", []):
        return problems
    if child.returncode is not None:
        return problems or {"sync": f"ended with exit code {child.returncode}, see {folder / 'sync.log'}"}
    name = note.get("doing") or "sync"
    return {name: "it takes long, and the delivery goes on by itself"} | problems
