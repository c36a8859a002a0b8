"""Make a checkout usable again after a kill: what `dvc repro` cannot clear by itself, and nothing that is in use."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import psutil

from trackstack import UserError
from trackstack.core.dvc_yaml import dvc_root
from trackstack.core.files import remove
from trackstack.system.git import try_git
from trackstack.tracking.addresses import database_file, mlflow_uri
from trackstack.tracking.db import DAMAGED
from trackstack.tracking.environment import home

RWLOCK = Path(".dvc/tmp/rwlock")
PATIENCE_SECONDS = 60.0


def repair() -> Iterator[str]:
    """Yield a line per thing that was mended; nothing when all is well.

    Raises:
        UserError: a `dvc` is at work here, or a stage that lost its own does not end.
    """
    here = [process for process in psutil.process_iter() if _is_ours(process)]
    for process in here:
        if not _in_stage(process) and _is_dvc(process):
            raise UserError(f"process {process.pid}: dvc is at work here; wait for its end, or stop it")
    yield from _end([process for process in here if _in_stage(process) and not _has_dvc(process)])
    for file in _lock_files():
        yield from _restore_lock_file(file)
    for database in (home() / "project.db", database_file(mlflow_uri(home()))):
        if database:
            yield from _put_damaged_aside(database)
    if RWLOCK.exists() and not _is_rwlock(RWLOCK):
        remove(RWLOCK)
        yield f"{RWLOCK}: damaged, as by a kill; removed"


def damaged_records() -> list[Path]:
    """The files of DVC's that stop every `dvc` here, and that `repair` mends."""
    locks = [file for file in _lock_files() if file.is_dir() or not _is_lock_file(file)]
    return [*locks, *([RWLOCK] if RWLOCK.exists() and not _is_rwlock(RWLOCK) else [])]


def _end(orphans: list[psutil.Process]) -> Iterator[str]:
    """Ask stages to end; a training writes a checkpoint first."""
    for process in orphans:
        yield f"process {process.pid}: a stage whose dvc is gone; asked to end"
        process.terminate()
    _, alive = psutil.wait_procs(orphans, timeout=PATIENCE_SECONDS)
    if alive:
        raise UserError(f"process {alive[0].pid}: does not end; type: kill -9 {alive[0].pid}")


def _lock_files() -> list[Path]:
    """Every dvc.lock of the checkout, in git or not yet; where there is no git, that of the root."""
    listing = try_git(Path(), "ls-files", "-z", "--cached", "--others", "--exclude-standard", ":(glob)**/dvc.lock")
    files = {Path("dvc.lock"), *(Path(name) for name in (listing or "").split("\0") if name)}
    return sorted(file for file in files if file.exists())


def _restore_lock_file(file: Path) -> Iterator[str]:
    """A `dvc.lock` that DVC cannot read is replaced by the committed one; the run cache knows what came after it."""
    if file.is_dir():
        yield f"{file}: a folder; move it away, then type: git checkout {file}"
        return
    if _is_lock_file(file):
        return
    committed = try_git(Path(), "show", f"HEAD:./{file}")
    if committed is not None:
        file.write_text(f"{committed}\n", encoding="utf-8")
        yield f"{file}: damaged, as by a kill; restored from git"
    else:
        file.unlink()
        yield f"{file}: damaged, as by a kill, and git has none; removed"


def _put_damaged_aside(database: Path) -> Iterator[str]:
    """A database that is no longer what SQLite wrote; what it held of runs is in their journals."""
    if not database.exists() or not (reason := _damage_of(database)):
        return
    free = (database.with_name(f"{database.name}.damaged-{number}") for number in itertools.count(1))
    aside = next(path for path in free if not path.exists())
    for ending in ("", "-journal", "-wal", "-shm"):  # SQLite would write the old one's changes into the new one
        with contextlib.suppress(FileNotFoundError):
            database.with_name(f"{database.name}{ending}").rename(aside.with_name(f"{aside.name}{ending}"))
    yield f"{database}: damaged ({reason}); moved to {aside.name}; type: trackstack sync, which fills a new one"


def _damage_of(database: Path) -> str | None:
    if database.is_dir():
        return "a folder"
    try:
        with contextlib.closing(sqlite3.connect(database, timeout=60)) as connection:
            found = connection.execute("PRAGMA integrity_check(1)").fetchone()[0]
    except sqlite3.Error as error:
        return str(error) if DAMAGED.search(str(error)) else None
    return None if found == "ok" else " ".join(str(found).split())


def _is_lock_file(path: Path) -> bool:
    from dvc.exceptions import DvcException  # half a second to import
    from dvc.schema import COMPILED_LOCKFILE_SCHEMA
    from dvc.utils.strictyaml import load

    try:
        content, text = load(str(path), COMPILED_LOCKFILE_SCHEMA)
        return "stages" in content and text.endswith("\n")
    except DvcException:
        return False


def _is_rwlock(path: Path) -> bool:
    from dvc.rwlock import SCHEMA

    try:
        SCHEMA(json.loads(path.read_bytes()))
    except Exception:  # of JSON, of the file system, and of DVC's validator
        return False
    return True


def _is_ours(process: psutil.Process) -> bool:
    """Whether it is another process of this user in this checkout, and alive; clones below it are checkouts too."""
    try:
        return (
            process.pid != os.getpid()
            and process.uids().real == os.getuid()
            and process.status() != psutil.STATUS_ZOMBIE
            and dvc_root(Path(process.cwd())) == Path.cwd()
        )
    except psutil.Error:
        return False


def _in_stage(process: psutil.Process) -> bool:
    try:
        return "DVC_STAGE" in process.environ()
    except psutil.Error:
        return False


def _has_dvc(process: psutil.Process) -> bool:
    """Whether the nearest ancestor outside the stage is a `dvc`; an orphan's is init, or whoever adopted it."""
    try:
        outside = next((parent for parent in process.parents() if not _in_stage(parent)), None)
    except psutil.Error:
        return True  # it ended just now
    return outside is not None and _is_dvc(outside)


def _is_dvc(process: psutil.Process) -> bool:
    try:
        words = process.cmdline()
    except psutil.Error:
        return False
    return any(
        Path(word).name == "dvc" or "dvc.cli" in word or word == "trackstack.cluster.experiment" for word in words
    )
