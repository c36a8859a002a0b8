"""POSIX locks: the kind that network file systems carry from node to node, and that a killed process drops.

`flock` may be local to a node. The price of `lockf` is that closing *any* descriptor of a file drops the
process's locks on it, so each lock file is opened once per process and stays open.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.02
_open_files: dict[Path, int] = {}
_held: set[int] = set()
"""Of the open files those whose lock this process took and has not given back."""
os.register_at_fork(after_in_child=_held.clear)  # which has none of its parent's locks


def try_lock(path: Path) -> bool:
    """Take the lock if nobody else has it; a process that already holds it is told True again."""
    try:
        file = _descriptor(path)
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    _held.add(file)
    return True


def is_locked(path: Path) -> bool:
    """Whether some process has the lock, be it this one; nothing is taken, made or kept open.

    Raises:
        OSError: the file cannot be looked at.
    """
    try:
        there = path.stat()
    except FileNotFoundError:
        return False
    for file in list(_open_files.values()):  # which must not be closed, by whatever name the path has it
        if os.path.samestat(os.fstat(file), there):
            if file in _held:
                return True
            return not _is_free(file)
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except PermissionError:
        return True
    try:
        return not _is_free(file)
    finally:
        os.close(file)


def _is_free(file: int) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    fcntl.lockf(file, fcntl.LOCK_UN)
    return True


def holds_lock(path: Path) -> bool:
    """Whether the lock that this process took is still its own, and still that of the file at the path."""
    try:
        now, then = path.stat(), os.fstat(_open_files[path.absolute()])
    except OSError:
        return False
    return (now.st_dev, now.st_ino) == (then.st_dev, then.st_ino) and try_lock(path)


def unlock(path: Path) -> None:
    """Give the lock back."""
    file = _descriptor(path)
    _held.discard(file)
    fcntl.lockf(file, fcntl.LOCK_UN)


def close_lock(path: Path) -> None:
    """Give the lock back for good: a process that sees many files would run out of descriptors."""
    if (file := _open_files.pop(path.absolute(), None)) is not None:
        _held.discard(file)
        os.close(file)


def wait_for_lock(path: Path, patience: float) -> bool:
    """Take the lock as soon as it is free; False when it was not within `patience` seconds."""
    deadline = time.monotonic() + patience
    while not try_lock(path):
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_SECONDS)
    return True


@contextlib.contextmanager
def locked(path: Path | None, patience: float) -> Iterator[bool]:
    """Hold a lock during the block; yields False when it was not to be had within `patience` seconds.

    Without a path there is nothing to lock, and the block holds what it needs.
    """
    mine = path is None or wait_for_lock(path, patience)
    try:
        yield mine
    finally:
        if path is not None and mine:
            unlock(path)


def _descriptor(path: Path) -> int:
    path = path.absolute()
    if path not in _open_files:
        path.parent.mkdir(parents=True, exist_ok=True)
        _open_files[path] = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    return _open_files[path]
