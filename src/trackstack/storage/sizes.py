"""How much files take, and when they were last read."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple


class Extent(NamedTuple):
    """Of files and folders."""

    size: int = 0
    """Bytes on the disk; of what has several names, once."""
    inodes: int = 0
    oldest_read: float | None = None
    """When the file was read that nobody has read for longest, in seconds since 1970; None without a file."""


def extent_of(paths: Iterable[Path], without: Iterable[Path] = ()) -> Extent:
    """What files and folders take with all that is in them; links are not followed, and what is gone takes nothing.

    Args:
        without: folders in them that do not count.
    """
    size, oldest, seen = 0, None, set()
    for path in files_below(paths, frozenset(map(str, without))):
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if (found.st_dev, found.st_ino) not in seen:
            seen.add((found.st_dev, found.st_ino))
            size += found.st_blocks * 512
            if not os.path.isdir(path):  # noqa: PTH112 (no Path for each of many files)
                oldest = found.st_atime if oldest is None else min(oldest, found.st_atime)
    return Extent(size, len(seen), oldest)


def files_below(paths: Iterable[Path], without: frozenset[str] = frozenset()) -> Iterator[str]:
    """Each path, and each file and folder below it."""
    for top in map(str, paths):
        if top in without:
            continue
        yield top
        if not os.path.islink(top):  # noqa: PTH114
            for folder, folders, files in os.walk(top):
                folders[:] = [name for name in folders if f"{folder}/{name}" not in without]
                yield from (f"{folder}/{name}" for name in (*folders, *files))
