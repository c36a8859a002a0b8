"""`trackstack storage init`: a place where a group keeps one cache, one remote and, if it likes, one home."""

from __future__ import annotations

import grp
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError
from trackstack.sharing.transfer import open_repository
from trackstack.storage.needs import Cache
from trackstack.system.git import git
from trackstack.system.group import PRIVATE_UMASK, SHARED_FILE, SHARED_FOLDER, is_shared

REMOTE = "group"
LINKS = "reflink,symlink"
"""Hard links to another owner's file are refused by Linux, and copies fill a quota."""
DATABASES = ("project.db", "mlflow.db")


def init_storage(place: Path, root: Path, group: str | None, with_home: bool) -> Iterator[str]:
    """Make the place or join it, and tell the DVC and git of a checkout of it; yield a line for what was done.

    Args:
        group: name or number of a group; by default that of the folder, or of the folder around it.

    Raises:
        UserError: no such group, or no permission; a path that DVC takes for its own.
    """
    if "%(" in str(place):
        raise UserError(f"{place}: DVC takes the %( in this path for a variable of its own; choose another folder")
    before = os.umask(PRIVATE_UMASK)
    try:
        number = _number(group, place)
        for folder in (place, place / "cache", place / "remote", *([place / "home"] if with_home else [])):
            _share_folder(folder, number)
        if with_home:
            _share_folder(place / "home/runs", number)
            for name in DATABASES:  # SQLite would make them for their owner alone
                _share_file(place / "home" / name)
        with open_repository(root) as repo:
            copied = _copy_cache(Cache(repo).folder, place / "cache")
            _configure(repo, place)
    finally:
        os.umask(before)
    git(root, "config", "core.sharedRepository", "group")
    yield f"{place}: cache and remote of group {_name(number)}, for nobody else"
    yield f".dvc/config.local: this checkout uses them{f'; {copied} objects copied there' if copied else ''}"
    yield "type: dvc checkout --relink; then .dvc/cache is needed no more"
    if with_home:
        yield f"in slurm/site.env and your shell: export TRACKSTACK_HOME={place / 'home'}"


def _number(group: str | None, place: Path) -> int:
    if group is None:
        return next(folder for folder in (place, *place.parents) if folder.exists()).stat().st_gid
    try:
        number = int(group) if group.isdigit() else grp.getgrnam(group).gr_gid
    except KeyError:
        raise UserError(f"--group {group}: no such group here; id -Gn lists yours") from None
    if os.getuid() != 0 and number not in {os.getegid(), *os.getgroups()}:  # which may leave out the first one
        raise UserError(f"--group {group}: you are not in it; id -Gn lists your groups")
    return number


def _share_folder(folder: Path, group: int) -> None:
    try:
        folder.mkdir(exist_ok=True)
        if folder.stat().st_uid == os.getuid():
            os.chown(folder, -1, group)
            folder.chmod(SHARED_FOLDER)
    except OSError as error:
        raise UserError(f"{folder}: {error.strerror}; expected a folder in which you may write") from None
    if not is_shared(folder) or folder.stat().st_gid != group or not os.access(folder, os.W_OK | os.X_OK):
        raise UserError(f"{folder}: is not shared with group {_name(group)}; its owner types: chmod 2770 {folder}")


def _share_file(file: Path) -> None:
    file.touch()
    if file.stat().st_uid == os.getuid():
        file.chmod(SHARED_FILE)


def _name(group: int) -> str:
    try:
        return grp.getgrgid(group).gr_name
    except KeyError:
        return str(group)


def _copy_cache(old: Path, new: Path) -> int:
    """Bring what the checkout's own cache has into the shared one; the old one stays until a person removes it."""
    if not old.exists() or old.resolve() == new.resolve():
        return 0
    copied = 0
    for path in sorted(path for path in old.rglob("*") if path.is_file()):
        there = new / path.relative_to(old)
        if not there.exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            partial = there.with_name(f".{there.name}.{os.getpid()}.partial")
            shutil.copyfile(path, partial)
            if path.relative_to(old).parts[0] != "runs":  # an object, which nobody may edit
                partial.chmod(0o440)
            partial.replace(there)
            copied += 1
    return copied


def _configure(repo: object, place: Path) -> None:
    with repo.config.edit("local") as config:  # type: ignore[attr-defined]
        config["cache"] |= {"dir": str(place / "cache"), "shared": "group", "type": LINKS}
        config["remote"][REMOTE] = {"url": str(place / "remote"), "shared": "group"}
        if "remote" not in config["core"]:
            config["core"]["remote"] = REMOTE
