"""A run made again from its archive alone: no repository, no home, no remote."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.archive.manifest import unpack_archive, verify_archive
from trackstack.core.dvc_yaml import tracked_data
from trackstack.core.files import new_folder
from trackstack.reproduction.reproduce import Options, reproduce
from trackstack.sharing.transfer import add_to_cache, open_repository
from trackstack.system.git import git
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
            with new_folder(unpacked) as new:  # what a Ctrl-C has left is not taken for the whole
                unpack_archive(archive, new)
        origin, commit = make_repository(unpacked, place / "origin")
        home = place / "record"
        if not home.exists():
            with new_folder(home) as new:
                shutil.copytree(unpacked / "record", new / "runs")
        again = options._replace(folder=place / "again")
        return reproduce(runs.pop(), home, origin, again, report, commit)
    finally:
        if options.folder is None:
            shutil.rmtree(place, ignore_errors=True)


def make_repository(unpacked: Path, origin: Path) -> tuple[Path, str]:
    """A git and DVC repository of the archive's source and data; returns it, and its one commit."""
    if not origin.exists():
        with new_folder(origin) as new:
            shutil.copytree(unpacked / "source", new, dirs_exist_ok=True)
            git(new, "init", "--quiet")
            git(new, "add", "--all", "--force")
            git(new, "commit", "--quiet", "--no-verify", "--message", "The source of an archived run", env=AUTHOR)
            _fill_cache(new, unpacked / "data")
    return origin, git(origin, "rev-parse", "HEAD")


def _fill_cache(root: Path, data: Path) -> None:
    """Put the archive's data into a cache in the repository: where the project has its own is nothing to others."""
    if not (root / ".dvc").is_dir():
        raise UserError("the archive: its source is no DVC repository, so that nothing says how it is run")
    (root / ".dvc/config.local").write_text("[cache]\n    dir = cache\n")
    with open_repository(root) as repo:
        for item in tracked_data(root):
            if (data / item["path"]).exists():
                add_to_cache(repo, data / item["path"], item.get("hash", "md5-dos2unix"))
