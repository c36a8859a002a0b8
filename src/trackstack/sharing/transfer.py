"""DVC's part of sharing: objects go between its cache and its remotes by its own code, verified on both sides.

What a remote has is looked up there: DVC's own list of it may be older than the remote.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.lineage import is_intact
from trackstack.sharing.record import SharedObject


class Transferred(NamedTuple):
    """What a transfer did, or would do."""

    objects: int
    size: int
    missing: dict[SharedObject, str]
    """Why one of them is not there now."""


@contextlib.contextmanager
def open_repository(root: Path) -> Iterator[Any]:
    """DVC's view of a repository; what its packages log goes nowhere, and their errors are one line.

    Raises:
        UserError: whatever DVC, its file systems or its databases raise.
    """
    from dvc.repo import Repo  # half a second to import

    loggers = [logging.getLogger(name) for name in ("dvc", "dvc_data", "dvc_objects")]
    before = [(logger.disabled, logger.propagate, logger.level) for logger in loggers]
    for logger in loggers:
        logger.propagate, logger.level = False, logging.CRITICAL
    try:
        with Repo(str(root)) as repo:
            yield repo
    except (UserError, OSError, KeyboardInterrupt):
        raise
    except Exception as error:  # classes of many packages
        raise UserError(f"DVC: {' '.join(str(error).split())[:300] or type(error).__name__}") from None
    finally:
        for logger, (disabled, propagate, level) in zip(loggers, before, strict=True):
            logger.disabled, logger.propagate, logger.level = disabled, propagate, level


def outputs_of(repo: Any) -> dict[str, Any]:
    """DVC's outputs of the checkout by their paths from the root."""
    return {
        repo.fs.relpath(out.fs_path, repo.root_dir).replace("\\", "/"): out
        for out in repo.index.outs
        if out.is_in_repo and out.protocol == "local"
    }


def check_remote(repo: Any, name: str | None) -> None:
    """UserError unless DVC has the remote of this name; without a name, one that is its default."""
    known = sorted(repo.config["remote"])
    if name is not None and name not in known:
        raise UserError(f"--dvc-remote {name}: DVC has no such remote; there are: {', '.join(known) or 'none'}")
    if name is None and not repo.config["core"].get("remote"):
        raise UserError("DVC has no remote to share data by; type: dvc remote add -d NAME PLACE")


def object_of_file(repo: Any, path: Path) -> str:
    """The MD5 of a file's object in DVC's cache, which gets it if need be."""
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.hash import hash_file

    cache = repo.cache.local
    _, found = hash_file(str(path), LocalFileSystem(), "md5", cache.state)
    cache.add(str(path), LocalFileSystem(), found.value)
    return found.value


def add_to_cache(repo: Any, path: Path, algorithm: str) -> None:
    """Copy a file or a folder into DVC's cache, without a look at what tracks it."""
    from dvc.fs import LocalFileSystem
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer

    cache = _cache(repo, algorithm)
    staging, _, found = build(cache, str(path), LocalFileSystem(), algorithm)
    transfer(staging, cache, {found.hash_info}, shallow=False)


def place_of(repo: Any, md5: str) -> Path:
    """Where an object lies, or would lie, in DVC's cache."""
    return Path(repo.cache.local.oid_to_path(md5))


def push_objects(repo: Any, wanted: Iterable[SharedObject], remote: str | None, dry_run: bool = False) -> Transferred:
    """Bring objects to their remotes; those that neither the remote nor a whole copy in the cache has are named.

    Raises:
        UserError: there is no remote, or it cannot be reached or written.
    """
    objects, size = 0, 0
    missing: dict[SharedObject, str] = {}
    for cache, there, items in _by_place(repo, wanted, remote, "push"):
        parts, lost = _parts(cache, there, items)
        names = set().union(*parts.values())
        new = names - set(there.oids_exist(sorted(names)))
        broken = {name for name in new if not _is_whole(cache, name)}
        new -= broken
        size += sum(cache.fs.size(cache.oid_to_path(name)) for name in new)
        failed = set() if dry_run else _copy(cache, there, new, verify=False)
        missing |= lost | _without(parts, broken | failed, "neither DVC's cache here has all of it, nor", there)
        objects += len(new - failed)
    return Transferred(objects, size, missing)


def fetch_objects(repo: Any, wanted: Iterable[SharedObject], remote: str | None) -> Transferred:
    """Bring objects into DVC's cache; those that are not there, or not what their name says, are named.

    Raises:
        UserError: there is no remote for what the cache lacks, it cannot be reached, or the cache cannot be written.
    """
    objects, size = 0, 0
    missing: dict[SharedObject, str] = {}
    lacking = [item for item in wanted if not _is_here(repo, item)]
    for cache, there, items in _by_place(repo, lacking, remote, "fetch"):
        parts, lost = _parts(cache, there, items)
        names = set().union(*parts.values())
        new = names - set(cache.oids_exist(sorted(names)))
        absent = new - set(there.oids_exist(sorted(new)))
        failed = _copy(there, cache, new - absent, verify=True)
        arrived = new - absent - failed
        size += sum(cache.fs.size(cache.oid_to_path(name)) for name in arrived)
        missing |= lost | _without(parts, absent | failed, "not all of it is as it was pushed at", there)
        objects += len(arrived)
    return Transferred(objects, size, missing)


def _by_place(
    repo: Any, wanted: Iterable[SharedObject], remote: str | None, command: str
) -> Iterator[tuple[Any, Any, list[SharedObject]]]:
    """The cache, the remote and the objects that go between them; an output may have a remote for itself."""
    groups = defaultdict(list)
    for item in wanted:
        own = item.remote if item.remote in repo.config["remote"] else None
        groups[own or remote, item.hash].append(item)
    for name, _ in groups:
        check_remote(repo, name)
    for (name, algorithm), items in groups.items():
        there = repo.cloud.get_remote_odb(name, command, hash_name=algorithm)
        yield _cache(repo, algorithm), there, items


def _cache(repo: Any, algorithm: str) -> Any:
    return repo.cache.local if algorithm == "md5" else repo.cache.legacy


def _is_here(repo: Any, item: SharedObject) -> bool:
    cache = _cache(repo, item.hash)
    if not cache.exists(item.md5):
        return False
    parts, lost = _parts(cache, cache, [item])
    return not lost and all(cache.exists(name) for name in parts[item])


def _without(parts: dict[SharedObject, set[str]], gone: set[str], why: str, place: Any) -> dict[SharedObject, str]:
    address = place.fs.unstrip_protocol(place.path)
    return {item: f"{why} {address}" for item, names in parts.items() if names & gone}


def _parts(
    cache: Any, there: Any, items: list[SharedObject]
) -> tuple[dict[SharedObject, set[str]], dict[SharedObject, str]]:
    """The names of all objects of each item: of a folder its list, and its files; and the items without a list."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    parts, lost = {}, {}
    for item in items:
        parts[item] = {item.md5}
        if item.md5.endswith(".dir"):
            place = cache if cache.exists(item.md5) else there
            try:
                tree = Tree.load(place, HashInfo(place.hash_name, item.md5))
            except FileNotFoundError:
                continue  # it is missing, as any other object may be
            except Exception as error:  # of a damaged list DVC raises its own
                lost[item] = f"its list of files cannot be read: {' '.join(str(error).split())[:100]}"
                continue
            if any(part in ("", "..") or "/" in part for key, _, _ in tree for part in key):
                lost[item] = "its list of files leads out of its folder"
            parts[item] |= {found.value for _, _, found in tree}
    return {item: names for item, names in parts.items() if item not in lost}, lost


def _copy(source: Any, target: Any, names: set[str], verify: bool) -> set[str]:
    """Copy objects, the lists of folders last; return those that are not there now.

    Args:
        verify: read what has arrived; of a remote that is far away it would be fetched for that.
    """
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.transfer import transfer

    errors = _Errors()
    logger = logging.getLogger("dvc_data")
    before, logger.handlers = logger.handlers, [errors]
    logger.setLevel(logging.ERROR)
    try:
        for lists in (False, True):
            wanted = {HashInfo(source.hash_name, name) for name in names if name.endswith(".dir") == lists}
            transfer(source, target, wanted, cache_odb=source, verify=verify)
    finally:
        logger.handlers = before
        logger.setLevel(logging.CRITICAL)
    if errors.first is not None:
        address = target.fs.unstrip_protocol(target.path)
        if isinstance(errors.first, OSError) and errors.first.errno:
            raise OSError(errors.first.errno, os.strerror(errors.first.errno), address)
        text = " ".join(str(errors.first).split())[:200] or type(errors.first).__name__
        raise UserError(f"{address}: {text}; type the same again when that is mended")
    return names - set(target.oids_exist(sorted(names)))


def _is_whole(cache: Any, name: str) -> bool:
    try:
        return is_intact(cache, name)
    except OSError:
        return False


class _Errors(logging.Handler):
    """Keeps the first error that DVC logs: it goes on with the other objects."""

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.first: BaseException | None = None

    def emit(self, record: logging.LogRecord) -> None:
        """Called by `logging`."""
        if record.exc_info and self.first is None:
            self.first = record.exc_info[1]
