"""Who works in a checkout, so that the next job can mend what a killed one has left, and only that.

A note in `.dvc/tmp` names the job and its `dvc`. Nothing is touched unless the note is there and its job is provably
dead: an earlier life of this very job, a job that Slurm no longer runs, or a process that is gone from this host.
"""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.cluster.repair import RWLOCK, repair
from trackstack.core.files import read_json, sealed, write_json
from trackstack.system import slurm

NOTE = Path(".dvc/tmp/trackstack-job.json")


def note_job(root: Path, job: str | None, pid: int) -> None:
    """Write down who works in a checkout, for `mend` to find should the job be killed."""
    restarts = int(os.environ.get("SLURM_RESTART_COUNT", 0))
    if (root / ".dvc").is_dir():
        note = {"job": job, "restarts": restarts, "host": socket.gethostname(), "pid": pid}
        write_json(root / NOTE, sealed(note))


def forget_job(root: Path) -> None:
    """The job has ended well."""
    (root / NOTE).unlink(missing_ok=True)


def mend() -> Iterator[str]:
    """After a dead job in this checkout: drop its locks, do what `trackstack repair` does; a line per thing mended.

    Raises:
        UserError: see `trackstack.cluster.repair.repair`.
    """
    try:
        note = read_json(NOTE, "remove it when no job is at work here; then type: trackstack repair")
    except FileNotFoundError:
        return
    except UserError as damage:
        yield str(damage)
        return
    if not _is_dead(note):
        yield f"{NOTE}: {note['job'] or note['pid']} on {note['host']} may be at work here still"
        return
    yield from _drop_lock_entries(note["pid"])
    yield from repair()
    forget_job(Path())


def _is_dead(note: dict[str, Any]) -> bool:
    job = slurm.job_name()
    if note["job"] is None:
        return note["host"] == socket.gethostname() and not Path(f"/proc/{note['pid']}").exists()
    if note["job"] == job:
        return note["restarts"] < int(os.environ.get("SLURM_RESTART_COUNT", 0))
    try:
        return note["job"] not in slurm.active_tasks([note["job"].split("_")[0]])
    except UserError:  # Slurm does not answer: nobody knows
        return False


def _drop_lock_entries(pid: int) -> Iterator[str]:
    """DVC knows process ids only, and on another node the dead one's may be somebody's."""
    try:
        entries = json.loads(RWLOCK.read_bytes())
    except (OSError, ValueError):
        return  # nothing there, or cut short, which `repair` sees to
    write = {path: info for path, info in entries.get("write", {}).items() if info["pid"] != pid}
    readers = {path: [i for i in infos if i["pid"] != pid] for path, infos in entries.get("read", {}).items()}
    read = {path: infos for path, infos in readers.items() if infos}
    if (entries.get("write", {}), entries.get("read", {})) != (write, read):
        write_json(RWLOCK, {"write": write, "read": read})
        yield f"{RWLOCK}: dropped the locks of a dead job's process {pid}"
