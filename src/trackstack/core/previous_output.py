"""What a stage put out when it last ran, found in DVC's cache: so that what did not change is not made again.

DVC deletes a stage's outputs before the stage runs, but dvc.lock still says what they were, and the cache keeps their
bytes: after `git checkout` those of that version, and in a clone with the same cache too. Whether a file is still
right is for the stage to say, by what it was made from; that the code is still the same is looked at here.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from trackstack.core.dvc_yaml import DVC_YAML, dvc_root, running_stage
from trackstack.system.git import git_bytes

T = TypeVar("T")

CODE = ("src/", "stages/")
"""Where a project's code lies, from its root, beside other `.py` files: what the guard of a stage looks at."""


class PreviousOutput:
    """The files of an output as they were; none where DVC did not start this process, or nothing is known.

    Args:
        files: where DVC's cache has, or would have, the bytes of each file, by its path within the output.
        link_types: of DVC's `cache.type`, the best first.
    """

    def __init__(self, files: dict[str, Path] | None = None, link_types: tuple[str, ...] = ()):
        self._files = files or {}
        self._link_types = link_types

    def find(self, name: str) -> Path | None:
        """Where the bytes of a file lie, to be read only; None where there was none, or the cache lacks it."""
        path = self._files.get(name)
        return path if path is not None and path.is_file() else None

    def names(self, folder: str = "") -> list[str]:
        """The paths of the files below a folder of the output, sorted."""
        return sorted(name for name in self._files if name.startswith(folder))

    def take(self, name: str, target: Path) -> bool:
        """Put a file in a place, as a link where DVC would make one; False where it is not to be had.

        A link shares the cache's bytes: the file must be replaced, never written to.
        """
        source = self.find(name)
        if source is None:
            return False
        from dvc_objects.fs.local import localfs

        for link in (one for one in self._link_types if one in ("reflink", "hardlink")):
            try:
                getattr(localfs, link)(str(source), str(target))
            except OSError:  # another file system, too many links, or a file of another owner
                target.unlink(missing_ok=True)
            else:
                if link == "reflink":
                    target.chmod(0o666 & ~_umask())
                return True
        try:
            shutil.copyfile(source, target)
        except FileNotFoundError:  # removed since
            return False
        return True

    def remove_damaged(self, name: str) -> None:
        """Say that the bytes of a file are not what was put out, and remove them from the cache.

        DVC would take what is there for what is made anew, and put it in its place.
        """
        path = self.find(name)
        if path is not None:
            with contextlib.suppress(OSError):
                path.unlink()
            print(f"{path}: damaged in DVC's cache; removed, and {name} is made anew", file=sys.stderr)


def previous_output(out: Path) -> PreviousOutput:
    """What the stage that runs put out at a path when it last ran; nothing if its code was another.

    Args:
        out: as dvc.yaml names it, relative to the present folder.
    """

    def ask(repo: Any, stage: Any) -> PreviousOutput:
        return PreviousOutput(_cached_files(repo, _at(stage.outs, out)), tuple(repo.cache.local.cache_types))

    return _ask_last_run(ask) or PreviousOutput()


def previous_text(out: Path, read: Path) -> tuple[bytes, set[str]]:
    """What the stage that runs wrote last, and the files that it read then and that are the same now.

    Nothing where either is not known. That a file is the same is for DVC to say, which has looked at all of them
    before it started this process.

    Args:
        out: an output that git keeps, as dvc.yaml names it, relative to the present folder.
        read: a folder that the stage depends on; of its files the names are returned.
    """

    def ask(repo: Any, stage: Any) -> tuple[bytes, set[str]] | None:
        committed = git_bytes(Path.cwd(), "show", f"HEAD:./{out.as_posix()}")
        is_last = hashlib.md5(committed, usedforsecurity=False).hexdigest() == _at(stage.outs, out).hash_info.value
        return (committed, _unchanged_files(repo, _at(stage.deps, read))) if is_last else None

    return _ask_last_run(ask) or (b"", set())


def _ask_last_run(ask: Callable[[Any, Any], T]) -> T | None:
    """What there is to say of DVC's repository and of the stage that runs, with the hashes of its last run.

    None where DVC did not start this process, nothing is known, or the code was another.
    """
    root, address = dvc_root(Path.cwd()), running_stage()
    if root is None or address is None or not (Path.cwd() / DVC_YAML).is_file():
        return None
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo:
            stage = repo.stage.load_one(str(Path.cwd() / DVC_YAML), address.rpartition(":")[2])
            return ask(repo, stage) if all(_is_unchanged(dep, root) for dep in stage.deps) else None
    except Exception:  # no such stage, no lock, no cache: classes of many packages, and none is a reason to stop
        return None


def _at(entries: Any, path: Path) -> Any:
    """The output or dependency of a stage that lies at a path."""
    (found,) = (one for one in entries if Path(one.fs_path) == Path.cwd() / path)
    return found


def _is_unchanged(dep: Any, root: Path) -> bool:
    """Whether a dependency is no code, or the same code as dvc.lock names."""
    path = Path(os.path.relpath(dep.fs_path, root)).as_posix()
    is_code = path.endswith(".py") or f"{path}/".startswith(CODE)
    return not is_code or (bool(dep.hash_info) and dep.get_hash() == dep.hash_info)


def _cached_files(repo: Any, out: Any) -> dict[str, Path]:
    """The files of an output that dvc.lock names, by their paths in it; of a file, its own by its name."""
    from dvc_data.hashfile.tree import Tree

    database, info = repo.cache.local, out.hash_info
    if info is None or info.name != database.hash_name:  # none, or as an older DVC kept it
        return {}
    if not info.isdir:
        return {Path(out.fs_path).name: Path(database.oid_to_path(info.value))}
    tree = Tree.load(database, info)
    return {"/".join(key): Path(database.oid_to_path(found.value)) for key, _, found in tree}


def _unchanged_files(repo: Any, dep: Any) -> set[str]:
    """The names of the files of a folder that dvc.lock knows by the same hash as DVC's notes on what lies there."""
    from dvc_data.hashfile.tree import Tree

    before = {"/".join(key): found for key, _, found in Tree.load(repo.cache.local, dep.hash_info)}
    paths = {str(Path(dep.fs_path, name)): name for name in before}
    notes = repo.state.get_many(paths, dep.fs, {})
    return {paths[path] for path, _, now in notes if now is not None and now == before[paths[path]]}


def _umask() -> int:
    from dvc_objects.fs.utils import umask

    return umask
