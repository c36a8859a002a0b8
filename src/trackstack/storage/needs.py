"""Which objects of a DVC cache are needed, by whom, and which of them are not there."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.lineage import recorded_items
from trackstack.records.own_stages import own_entries
from trackstack.records.query import RunRecord, read_run, run_folders
from trackstack.sharing.record import RUN, SharedObject
from trackstack.sharing.refs import RECORDS, SOURCES, has_commit, read_record
from trackstack.sharing.transfer import open_repository
from trackstack.storage.references import (
    Needed,
    checkouts_around,
    items_of,
    locks_of,
    named_by_checkout,
    named_by_refs,
    refs_of,
)

OBJECT = re.compile(r"[0-9a-f]{30}(\.dir)?")


class Checkout(NamedTuple):
    """A DVC repository, and the home of its runs."""

    root: Path
    home: Path


def needed_objects(checkout: Checkout, without: Iterable[str] = ()) -> tuple[list[Needed], list[str]]:
    """All that a checkout, its refs and its runs need; and a line for each run of which nobody knows what it needs.

    Args:
        without: ids of runs that are about to go, with the refs that are only theirs.

    Raises:
        UserError: DVC's files here, at a branch or in a clone cannot be read.
    """
    gone = set(without)
    refs = {ref: commit for ref, commit in refs_of(checkout.root).items() if ref not in refs_of_runs(checkout, gone)}
    needed = named_by_checkout(checkout.root, "the working tree")
    for place in checkouts_around(*checkout):
        needed += named_by_checkout(place, str(place))
    records = [read_run(folder) for folder in run_folders(checkout.home) if folder.name not in gone]
    problems = []
    for record in records:
        needed += [Needed(item, f"run {record.folder.name}") for item in needed_by_run(record, checkout.root)]
        if not record.series:
            reason = record.damage[0] if record.damage else str(record.folder)
            problems.append(f"{reason}; what this run needs is not known")
    needed += needed_by_lost_runs(checkout, refs, {record.folder.name for record in records})
    needed += named_by_refs(checkout.root, refs)
    return needed, problems


def refs_of_runs(checkout: Checkout, runs: Iterable[str]) -> list[str]:
    """The refs that keep source, record and experiment of runs, and are there for nothing else."""
    experiments = set()
    for run in runs:
        places = [checkout.home / "runs" / run, checkout.home / "runs/.removed" / run]
        series = [one.series for place in places if place.is_dir() for one in read_run(place).series]
        experiments |= {one.start["tags"].get("dvc_exp") for one in series}
    refs = refs_of(checkout.root)
    of_experiments = [ref for ref in refs if ref.startswith("refs/exps/") and ref.rpartition("/")[2] in experiments]
    own = [prefix + run for run in runs for prefix in (SOURCES, RECORDS)]
    return sorted({ref for ref in own if ref in refs} | set(of_experiments))


def needed_by_run(record: RunRecord, root: Path) -> list[SharedObject]:
    """What a run was made from, and what its stages put out."""
    found: list[SharedObject] = []
    for series in (one.series for one in record.series):
        remotes = {
            entry["path"]: entry.get("remote") for source in series.upstream for entry in source.get("data", [])
        }
        for item in recorded_items(series.upstream)[0]:
            if not item.what.endswith(": dependency"):
                about = {"path": item.path, "md5": item.value, "hash": item.algorithm}
                found += items_of([about | {"remote": remotes.get(item.path)}])
        found += items_of(out for entry in own_entries(series, root).values() for out in entry.get("outs", []))
        if not series.upstream:  # a script of one's own: what its commit had
            tags = series.start["tags"]
            commits = {commit: commit for name in ("source", "git_commit") if (commit := tags.get(name))}
            known = {commit: commit for commit in commits if has_commit(root, commit)}
            for lock in locks_of(root, known).values():
                found += items_of(out for stage in lock.values() for out in stage.get("outs", []))
    return found


def needed_by_lost_runs(checkout: Checkout, refs: dict[str, str], known: set[str]) -> Iterator[Needed]:
    """What runs need whose folder is not in the home, and whose shared record is in git."""
    for ref, commit in refs.items():
        run = ref.removeprefix(RECORDS)
        if ref.startswith(RECORDS) and run not in known and RUN.fullmatch(run):
            for item in read_record(checkout.root, run, commit)[0].objects:
                yield Needed(item, f"run {run}")


class Cache:
    """The objects of a DVC cache, those of DVC 2 among them."""

    def __init__(self, repo: Any):
        self.folder = Path(repo.cache.local_cache_dir)
        self._places = (Path(repo.cache.local.path), Path(repo.cache.legacy.path))
        self._databases = (repo.cache.local, repo.cache.legacy)

    def objects(self) -> dict[Path, str]:
        """The path of each object with its name."""
        found = {}
        for place in self._places:
            for path in place.glob("[0-9a-f][0-9a-f]/*"):
                if OBJECT.fullmatch(path.name):
                    found[path] = path.parent.name + path.name
        return found

    def parts(self, item: SharedObject) -> list[str] | None:
        """The names of an object, and of the files in it when it is a folder; None where its list cannot be read."""
        files = self.files(item)
        return None if files is None else list(dict.fromkeys([item.md5, *files.values()]))

    def files(self, item: SharedObject) -> dict[str, str] | None:
        """The names of the objects of the files in a folder, by their paths in it; of a file, its own by ""."""
        from dvc_data.hashfile.hash_info import HashInfo
        from dvc_data.hashfile.tree import Tree

        if not item.md5.endswith(".dir"):
            return {"": item.md5}
        for database in self._databases:
            try:
                tree = Tree.load(database, HashInfo(database.hash_name, item.md5))
                return {"/".join(key): found.value for key, _, found in tree}
            except Exception:  # DVC's file systems raise classes of many packages
                continue
        return None

    def path(self, item: SharedObject, name: str) -> Path:
        """Where an object of an item lies, or would lie."""
        database = self._databases[item.hash != "md5"]
        return Path(database.oid_to_path(name))


class Audit(NamedTuple):
    """A cache compared with what is needed of it."""

    needed: set[str]
    """Names of objects."""
    missing: list[Needed]
    """Files and folders that are needed here, and of which at least one object is not there; each once."""
    unknown: list[Needed]
    """Those of them that are folders without a list: nobody can tell which objects their files are."""


def audit(cache: Cache, needed: Iterable[Needed]) -> Audit:
    """Look for each needed object in a cache."""
    there = set(cache.objects().values())
    names: set[str] = set()
    missing: dict[tuple[str, str], Needed] = {}
    unknown = []
    by_object: dict[str, list[str] | None] = {}
    for one in needed:
        if one.item.md5 not in by_object:
            by_object[one.item.md5] = cache.parts(one.item)
            names |= set(by_object[one.item.md5] or [one.item.md5])
        parts = by_object[one.item.md5]
        unknown += [one] if parts is None and one.is_here else []
        if one.is_here and (parts is None or not there.issuperset(parts)):
            missing.setdefault((one.item.path, one.item.md5), one)
    return Audit(names, list(missing.values()), unknown)


def open_cache(root: Path) -> Cache:
    """The cache of a checkout."""
    with open_repository(root) as repo:
        return Cache(repo)


def checkout_at(root: Path) -> Checkout:
    """Somebody else's checkout of the same cache; UserError where there is none."""
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: no DVC repository; expected the folder of a checkout, where .dvc lies")
    return Checkout(root, root)
