"""A run made again from its archive alone: no repository, no home, no remote."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.archive.manifest import unpack_archive, verify_archive
from trackstack.cluster.clones import DVC
from trackstack.reproduction.reproduce import Options, reproduce
from trackstack.system.git import git
from trackstack.system.programs import run_program
from trackstack.tracking.snapshot import AUTHOR


def reproduce_archive(archive: Path, options: Options, report: Callable[[str], None]) -> dict[str, Any]:
    """Verify an archive, unpack it and make its run again; returns the verdict, see `reproduce`.

    With `options.folder` all of it is kept there, otherwise nothing.

    Raises:
        UserError: the archive is not as it was written, or the run cannot be made from it.
    """
    names = verify_archive(archive)
    runs = {name.split("/")[1] for name in names if name.startswith("record/")}
    if len(runs) != 1:
        raise UserError(f"{archive}: expected the record of one run in it, found {len(runs)}")
    place = options.folder or Path(tempfile.mkdtemp(prefix="trackstack-"))
    try:
        unpacked = place / "archive"
        if not unpacked.exists():
            if options.folder and place.exists() and any(place.iterdir()):
                raise UserError(f"{place}: is there already; expected a new folder")
            unpack_archive(archive, unpacked)
        origin, commit = make_repository(unpacked, place / "origin")
        home = place / "record"
        if not home.exists():
            shutil.copytree(unpacked / "record", home / "runs")
        again = options._replace(folder=place / "again")
        return reproduce(runs.pop(), home, origin, again, report, commit)
    finally:
        if options.folder is None:
            shutil.rmtree(place, ignore_errors=True)


def make_repository(unpacked: Path, origin: Path) -> tuple[Path, str]:
    """A git and DVC repository of the archive's source and data; returns it, and its one commit."""
    if origin.exists():
        return origin, git(origin, "rev-parse", "HEAD")
    shutil.copytree(unpacked / "source", origin)
    git(origin, "init", "--quiet")
    git(origin, "add", "--all", "--force")
    git(origin, "commit", "--quiet", "--no-verify", "--message", "The source of an archived run", env=AUTHOR)
    commit = git(origin, "rev-parse", "HEAD")
    for place in sorted((unpacked / "data").glob("*")):
        shutil.copytree(place, origin / place.name, dirs_exist_ok=True)
    pointers = [path for path in _pointers(origin) if (path.parent / path.stem).exists()]
    for pointer in pointers:
        done = run_program([*DVC, "commit", "--force", "--quiet", str(pointer.relative_to(origin))], cwd=origin)
        if done.returncode:
            raise UserError(f"{pointer.name}: {' '.join(done.stderr.split())[-200:]}")
    return origin, commit


def _pointers(root: Path) -> list[Path]:
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [Path(folder, name) for name in files if name.endswith(".dvc")]
    return sorted(found)
