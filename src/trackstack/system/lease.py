"""One live writer per run: a lock that dies with its holder, and a note that says who it is."""

from __future__ import annotations

import contextlib
import json
import os
import socket
from pathlib import Path

import psutil

from trackstack import UserError
from trackstack.system.locks import holds_lock, is_locked, unlock, wait_for_lock

LOCK_FILE, NOTE_FILE = "lease.lock", "lease.json"


def take_lease(folder: Path, what: str | None = None, patience: float = 2.0) -> None:
    """Become the writer of the run in `folder`.

    Args:
        what: how an error names it; the run by default.
        patience: seconds to wait for another holder; some, since `is_live` shares the lock when it looks: for a
            moment, unless the machine is busy.

    Raises:
        UserError: somebody else is; the line names host, process, SLURM job and working directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not wait_for_lock(folder / LOCK_FILE, patience):
        what = what or f"run {folder.name}"
        if not os.access(folder / LOCK_FILE, os.W_OK):
            raise UserError(
                f"{what}: {folder} is somebody else's, and not yours to write; "
                "trackstack storage init --home shares a home with a group"
            )
        raise UserError(f"{what}: {_holder(folder)} is at work on it; wait for its end, or stop it")
    note = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    with contextlib.suppress(OSError):  # it only names the holder, and a disk may be full
        (folder / NOTE_FILE).write_text(json.dumps({**note, "folder": str(Path.cwd())}) + "\n")


def keep_lease(folder: Path) -> None:
    """Make sure to be the writer still: a machine that slept may have lost its lock, or the folder was made anew.

    Raises:
        UserError: another process is the writer now; the line names it.
    """
    if not holds_lock(folder / LOCK_FILE):
        raise UserError(f"run {folder.name}: {_holder(folder)} has taken it over; this process writes no more")


def give_back_lease(folder: Path) -> None:
    """Stop being the writer of the run in `folder`."""
    if holds_lock(folder / LOCK_FILE):
        (folder / NOTE_FILE).unlink(missing_ok=True)
    unlock(folder / LOCK_FILE)


def is_live(folder: Path) -> bool:
    """Whether a process, this one or another, on this node or another, is writing the run."""
    return (folder / LOCK_FILE).exists() and is_locked(folder / LOCK_FILE)


def _holder(folder: Path) -> str:
    try:
        note = json.loads((folder / NOTE_FILE).read_bytes())
        job = f", SLURM job {note['job']}" if note["job"] else ""
        stopped = _stopped_here(note["host"], note["pid"])
        return f"process {note['pid']} on {note['host']}{job} (in {note['folder']}){stopped}"
    except (OSError, KeyError, TypeError, ValueError):  # damaged, or not written yet
        return "another process"


def _stopped_here(host: str, pid: int) -> str:
    """What to know of a holder that only sleeps, as after Ctrl-Z."""
    with contextlib.suppress(psutil.Error):
        if host == socket.gethostname() and psutil.Process(pid).status() == psutil.STATUS_STOPPED:
            return f", stopped (kill -CONT {pid} lets it go on),"
    return ""
