"""The folder of a run in a home: read in the form that is shared, and filled with what comes from others."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_file
from trackstack.core.files import remove
from trackstack.sharing.attempts import SharedAttempt
from trackstack.sharing.merging import BESIDE, NOTE, NOTE_SUFFIXES, Content, Files, content_of
from trackstack.sharing.record import LARGEST_IN_GIT, is_safe
from trackstack.system.lease import NOTE_FILE, give_back_lease, take_lease
from trackstack.tracking.delivery.note import SYNC_NOTE
from trackstack.tracking.journal import JOURNAL, journals

EXPORT_NOTE = "exported.json"
"""Somebody has an archive of the run, which names it: gc keeps the run."""
OWN_NOTES = {SYNC_NOTE, NOTE_FILE, EXPORT_NOTE}
"""They say how far this home's delivery is, who writes here now, and that it was exported from here."""
OBJECTS_OF_COPIES = "artifacts"


def files_of(folder: Path, with_digests: bool = True) -> tuple[Files, list[str]]:
    """What of a run's folder is shared, and a line for each file that cannot be.

    Args:
        with_digests: read the kept copies, too; without, only their names are known.
    """
    files: Files = {}
    left_out = []
    for number, path in journals(folder) if folder.exists() else []:
        try:
            attempt = SharedAttempt(number, path.read_bytes())
            files[path.name] = content_of(attempt.journal(number, attempt.start["series"]))
        except ValueError as error:
            left_out.append(f"{folder.name}: {error}; it is left out")
    for place in (folder, folder / BESIDE, folder / "reproductions"):
        for path in sorted(path for suffix in NOTE_SUFFIXES for path in place.glob(f"*{suffix}")):
            name = path.relative_to(folder).as_posix()
            if NOTE.fullmatch(name) and name not in OWN_NOTES:
                files[name] = content_of(path.read_bytes())
    for path in sorted((folder / OBJECTS_OF_COPIES).rglob("*")):
        if path.is_file() and not fnmatch(path.name, ".*.partial"):  # which a kill has left
            name = path.relative_to(folder).as_posix()
            if is_safe(name):
                files[name] = _copy_of(path) if with_digests else Content("", 0, path=path)
            else:
                left_out.append(f"{folder.name}: {name!r}: a name that not every system has; it is left out")
    return files, left_out


def _copy_of(path: Path) -> Content:
    size = path.stat().st_size
    return content_of(path.read_bytes()) if size <= LARGEST_IN_GIT else Content(digest_file(path), size, path=path)


def write_files(
    folder: Path, merged: Files, before: Files, destinations: dict[str, Any], find: Callable[[str], Path]
) -> int:
    """Bring a run's folder to what `merged` says, journals last: a run is listed when all else of it is there.

    Args:
        destinations: the back ends of this home, to which `trackstack sync` delivers what comes.
        find: where the DVC object of an MD5 is.

    Returns:
        How many files were written.

    Raises:
        UserError: somebody writes this run now, or a file that others shared is not what its digest says.
        OSError: no room.
    """
    new = {name: content for name, content in merged.items() if before.get(name) != content}
    if not new and before.keys() <= merged.keys():
        return 0
    take_lease(folder)
    try:
        for name in sorted(new, key=lambda name: (bool(JOURNAL.fullmatch(name)), name)):
            if JOURNAL.fullmatch(name) and name not in before and (folder / name).exists():  # its start is damaged
                (folder / name).rename(folder / f"{name}.damaged")
            _write(folder / name, new[name], destinations, find)
        for name in before.keys() - merged.keys():  # a note that was taken back
            remove(folder / name)
    finally:
        give_back_lease(folder)
    return len(new)


def _write(path: Path, content: Content, destinations: dict[str, Any], find: Callable[[str], Path]) -> None:
    partial = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        match, when = JOURNAL.fullmatch(path.name), None
        if content.data is None:
            _copy_object(find(content.md5 or ""), partial, path, content)
        elif match and path.parent.name != OBJECTS_OF_COPIES:
            attempt = SharedAttempt(int(match[1]), content.data)
            partial.write_bytes(attempt.journal(attempt.number, attempt.start["series"], destinations))
            when = attempt.records()[-1].get("time")  # lists are in the order of the journals' last lines
        else:
            partial.write_bytes(content.data)
        if when is not None:
            os.utime(partial, (when, when))
        partial.replace(path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
    finally:
        partial.unlink(missing_ok=True)


def _copy_object(source: Path, partial: Path, path: Path, content: Content) -> None:
    if not source.is_file():
        raise UserError(
            f"{path}: no DVC remote here has it (md5 {content.md5}); whoever has the run: trackstack push"
        )
    shutil.copyfile(source, partial)
    if digest_file(partial) != content.sha256:
        raise UserError(f"{path}: what the DVC remote has is not what its digest says; it was not taken")
