"""One live writer per run: a lock that dies with its holder, and a note that says who it is."""

from __future__ import annotations

import json
import os
import socket
from pathlib import Path

from trackstack import UserError
from trackstack.system.locks import try_lock, unlock, wait_for_lock

LOCK_FILE, NOTE_FILE = "lease.lock", "lease.json"


def take_lease(folder: Path, what: str | None = None, patience: float = 2.0) -> None:
    """Become the writer of the run in `folder`.

    Args:
        what: how an error names it; the run by default.
        patience: seconds to wait for another holder; some, since `is_live` holds the lock when it looks: for a
            moment, unless the machine is busy.

    Raises:
        UserError: somebody else is; the line names host, process, SLURM job and working directory.
    """
    folder.mkdir(parents=True, exist_ok=True)
    if not wait_for_lock(folder / LOCK_FILE, patience):
        what = what or f"run {folder.name}"
        raise UserError(f"{what}: {_holder(folder)} is at work on it; wait for its end, or stop it")
    note = {"host": socket.gethostname(), "pid": os.getpid(), "job": os.environ.get("SLURM_JOB_ID")}
    (folder / NOTE_FILE).write_text(json.dumps({**note, "folder": str(Path.cwd())}) + "\n")


def give_back_lease(folder: Path) -> None:
    """Stop being the writer of the run in `folder`."""
    (folder / NOTE_FILE).unlink(missing_ok=True)
    unlock(folder / LOCK_FILE)


def is_live(folder: Path) -> bool:
    """Whether a process, on this node or another, is writing the run; not for the writer itself to ask."""
    if not (folder / LOCK_FILE).exists() or not try_lock(folder / LOCK_FILE):
        return (folder / LOCK_FILE).exists()
    unlock(folder / LOCK_FILE)
    return False


def _holder(folder: Path) -> str:
    try:
        note = json.loads((folder / NOTE_FILE).read_bytes())
    except (OSError, ValueError):
        return "another process"
    job = f", SLURM job {note['job']}" if note["job"] else ""
    return f"process {note['pid']} on {note['host']}{job} (in {note['folder']})"
