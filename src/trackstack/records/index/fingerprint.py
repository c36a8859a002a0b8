"""By which one sees, without reading anything, that the files of a run are those that were read."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from typing import NamedTuple

WATCHED = re.compile(r"journal-\d+\.jsonl|(promoted|labels)-\d+\.json")
"""What a run's row in a list is made of."""
BESIDE = "beside"
"""Notes that came from another home; see `trackstack.sharing.merging`."""
BESIDE_WATCHED = re.compile(r"[^-]+-labels-\d+\.json")
JOURNAL = "journal-"
NEW_SECONDS = 2.0
"""A file that changed less than this ago may change again within one tick of its clock, as git's index knows, too."""


class Fingerprint(NamedTuple):
    """Of the files of one run's folder."""

    folder: tuple[int, int]
    """Time of the last change in nanoseconds and inode: the same as long as no file comes, goes or is renamed."""
    names: tuple[str, ...]
    files: tuple[int, ...]
    """Size, time in nanoseconds and inode of each name."""

    def is_settled(self, now: float) -> bool:
        """Whether there is something, all of whose changes are so long ago that another one would be seen."""
        return bool(self.names) and max((self.folder[0], *self.files[1::3])) < (now - NEW_SECONDS) * 1e9

    @property
    def has_journal(self) -> bool:
        """Whether there is one."""
        return any(name.startswith(JOURNAL) for name in self.names)


def fingerprint(folder: str) -> Fingerprint:
    """That of a run's folder as it is.

    Raises:
        OSError: it cannot be looked into.
    """
    own = _of_folder(folder)  # first, so that what comes meanwhile is a change
    found = _names(folder)
    names = [name for name in found if name == BESIDE or WATCHED.fullmatch(name)]
    if BESIDE in found:
        names += [f"{BESIDE}/{name}" for name in _names(f"{folder}/{BESIDE}") if BESIDE_WATCHED.fullmatch(name)]
    names.sort()
    return Fingerprint(own, tuple(names), _of_files(folder, names))


def refreshed(folder: str, known: Fingerprint) -> Fingerprint:
    """That of a folder whose files were known: where none came or went it is not even listed.

    Raises:
        OSError: it cannot be looked into.
    """
    own = _of_folder(folder)
    if own != known.folder:
        return fingerprint(folder)
    return Fingerprint(own, known.names, _of_files(folder, known.names))


def _names(folder: str) -> list[str]:
    with os.scandir(folder) as found:
        return [entry.name for entry in found]


def _of_folder(folder: str) -> tuple[int, int]:
    # Ten thousand times: a Path would cost more than the call.
    found = os.stat(folder)  # noqa: PTH116
    return found.st_mtime_ns, found.st_ino


def _of_files(folder: str, names: Sequence[str]) -> tuple[int, ...]:
    numbers: list[int] = []
    for name in names:
        found = os.stat(f"{folder}/{name}")  # noqa: PTH116
        numbers += (found.st_size, found.st_mtime_ns, found.st_ino)
    return tuple(numbers)
