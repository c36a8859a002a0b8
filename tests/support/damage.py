"""What disks and people do to a file: a byte flipped, an end cut off, no file, a folder in its place, no room."""

from __future__ import annotations

import contextlib
import os
import resource
import shutil
from collections.abc import Iterator
from pathlib import Path

SOMEBODY = 65534
"""A user without privileges: root may read everything."""
FLIPS = ("flip 1", "flip 30", "flip 50", "flip 70", "flip 99")
"""A bit of the byte at so many per cent of the file."""
DAMAGES = (*FLIPS, "cut", "empty", "missing", "folder", "unreadable")


def damage(path: Path, how: str) -> None:
    """Do it to a file, whatever it was before, and whether or not it is linked to another."""
    content = bytearray(path.read_bytes())
    path.unlink()
    if how.startswith("flip"):
        content[len(content) * int(how.split()[1]) // 100] ^= 1
    if how == "folder":
        path.mkdir()
    elif how != "missing":
        path.write_bytes({"cut": content[: len(content) * 2 // 3], "empty": b""}.get(how, content))
    if how == "unreadable":
        path.chmod(0)


@contextlib.contextmanager
def damaged(path: Path, how: str, root: Path) -> Iterator[None]:
    """A file that is damaged during the block, and whole again after it; all else below `root` may be written."""
    whole, times = path.read_bytes(), path.stat()
    damage(path, how)
    try:
        with somebody(root) if how == "unreadable" else contextlib.nullcontext():
            yield
    finally:
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
        path.write_bytes(whole)
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@contextlib.contextmanager
def somebody(root: Path) -> Iterator[None]:
    """As root, be a user without privileges, who may write whatever below `root` has any permission."""
    if os.geteuid() != 0:
        yield
        return
    for folder in root.parents:
        if not folder.stat().st_mode & 0o001:
            folder.chmod(folder.stat().st_mode | 0o711)  # for good: other processes of the tests do the same
    for path in [root, *root.rglob("*")]:
        if mode := path.stat().st_mode & 0o777:
            path.chmod(mode | (0o777 if path.is_dir() else 0o666))
    os.seteuid(SOMEBODY)
    try:
        yield
    finally:
        os.seteuid(0)


@contextlib.contextmanager
def no_room(size: int) -> Iterator[None]:
    """No file of this process may grow beyond so many bytes: a write that does is cut, and the next one fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
