"""Data that a disk has damaged: DVC takes its own copy for whole, so that every repro gives it back again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from trackstack.cluster.pipeline import open_repo
from trackstack.core.files import remove


def discard_damaged(paths: Iterable[Path]) -> Iterator[str]:
    """Remove what DVC's cache has of outputs and tracked data and is damaged; yield a line for each file.

    Every byte is read, since DVC's own note of hashes knows nothing of a disk's faults. What lies here goes with it
    when it is the same damaged file, as links are; anything else, such as an edit, is left.

    Raises:
        UserError: a path is no output of a stage, and is not tracked.
    """
    with open_repo(Path.cwd()) as repo:
        for out in (out for path in paths for out in repo.find_outs_by_path(str(path), recursive=True)):
            again = f"dvc repro --force {out.stage.addressing}" if out.stage.cmd else f"dvc pull {out}"
            for value, here in _files(out):
                if out.use_cache and (left := _discard(out.cache, value, here)):
                    todo = f"dvc commit --force {out}, since the file here is whole" if left == value else again
                    yield f"{here}: damaged in DVC's cache, and removed there; type: {todo}"


def _files(out: Any) -> Iterator[tuple[str, Path]]:
    """The hash and the place of an output, and of each file in it when it is a folder."""
    from dvc_data.hashfile.tree import Tree

    if not out.hash_info:
        return
    place = Path(out.fs_path)
    yield out.hash_info.value, place
    if out.hash_info.isdir and Path(out.cache.oid_to_path(out.hash_info.value)).exists():
        for parts, _, found in Tree.load(out.cache, out.hash_info):
            yield found.value, place.joinpath(*parts)


def _discard(cache: Any, value: str, here: Path) -> str | None:
    """Remove an object that is damaged, and its link; returns the hash of what was here, None when all is well."""
    path = Path(cache.oid_to_path(value))
    found = _hash_of(cache, path)
    if found in ("", value.removesuffix(".dir")):
        return None
    there = _hash_of(cache, here)
    remove(path)
    if there == found:
        remove(here)
    return there or found


def _hash_of(cache: Any, file: Path) -> str:
    """Without DVC's note of hashes; empty where there is no file."""
    from dvc_data.hashfile.hash import hash_file

    if not file.is_file():
        return "" if not file.is_dir() else "a folder"
    return hash_file(str(file), cache.fs, cache.hash_name)[1].value
