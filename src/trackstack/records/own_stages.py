"""What the stages that recorded a run put out: in no journal, since DVC hashes an output when its stage has ended.

A `dvc.lock` says it, until the stage is run again: the working tree's, or that of the run's experiment. It is looked
for there, compared with what the run did record, and kept with the run from then on.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from trackstack import UserError
from trackstack.core.dvc_yaml import locked_stages, overlap
from trackstack.core.files import read_json, sealed, write_json
from trackstack.core.params import load_yaml
from trackstack.records.lineage import Item, hash_of, recorded_items
from trackstack.records.query import read_run
from trackstack.records.rebuild import experiment_names, locked_stages_of
from trackstack.system.git import try_git
from trackstack.tracking.sinks import Series


def own_entries(series: Series, root: Path) -> dict[str, dict[str, Any]]:
    """The entries of dvc.lock of the stages that recorded a series, by address; without those that nobody has.

    Args:
        root: the DVC repository in which the run was made, or a clone of it.
    """
    note = series.folder / f"outputs-{series.number}.json"
    with contextlib.suppress(FileNotFoundError, UserError):  # a damaged note is written anew
        kept = read_json(note, "")["stages"]
        if all(record.get("stage") in kept for record in series.upstream):
            return kept
    found: dict[str, dict[str, Any]] = {}
    if any(other.series.number > series.number for other in read_run(series.folder).series):
        return found  # of what has come out differently since, a dvc.lock names the last
    for record in series.upstream:
        address = record.get("stage", "")
        candidates = itertools.chain(
            (locked.get(address) for locked in _locks(series, root)), _run_cache(root, record)
        )
        for entry in candidates:
            if entry and address not in found and _was_made_by(series, record, entry, root):
                found[address] = entry
    if found:
        with contextlib.suppress(OSError):  # somebody else's home: it is looked for again the next time
            write_json(note, sealed({"stages": found}))
    return found


def _locks(series: Series, root: Path) -> Iterator[dict[str, dict[str, Any]]]:
    """The stages of each dvc.lock that may be the run's."""
    with contextlib.suppress(UserError):
        yield locked_stages(root)
    experiments = {name: commit for commit, name in experiment_names(root).items()}
    for revision in (experiments.get(series.start["tags"].get("dvc_exp", "")), "HEAD"):
        with contextlib.suppress(UserError):
            if revision and (commit := try_git(root, "rev-parse", "--verify", "--quiet", revision)):
                yield dict(locked_stages_of(commit, root))


def _run_cache(root: Path, record: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """The entries of DVC's run cache with the dependencies of a stage; none that had more than one outcome."""
    from dvc.repo import Repo

    with Repo(str(root)) as repo:
        folder = Path(repo.stage_cache.cache_dir)
    for inputs in sorted(folder.glob("*/*")):
        outcomes = list(inputs.iterdir())
        with contextlib.suppress(yaml.YAMLError, OSError, AttributeError, KeyError):
            entry = load_yaml(outcomes[0]) if len(outcomes) == 1 else {}
            if {dep["path"] for dep in entry.get("deps", [])} == set(record.get("deps", [])):
                yield entry


def _was_made_by(series: Series, record: dict[str, Any], entry: dict[str, Any], root: Path) -> bool:
    """Whether an entry has the parameters and the hashes that an attempt recorded at its start, and its code."""
    for file, values in record.get("params", {}).items():
        locked = entry.get("params", {}).get(file, {})
        if any(locked.get(name) != value for name, value in values.items()):
            return False
    known = {(item.path, item.algorithm): item.value for item in recorded_items([record])[0]}
    deps = {
        dep["path"]: Item("", dep["path"], dep.get("hash", "md5-dos2unix"), dep.get("md5", ""))
        for dep in entry.get("deps", [])
    }
    if any(known.get((path, dep.algorithm), dep.value) != dep.value for path, dep in deps.items()):
        return False
    code = [dep for path, dep in deps.items() if not any(overlap(path, other) for other, _ in known)]
    commit = series.start["tags"].get("source") or series.start["tags"].get("git_commit")
    return not code or (commit is not None and _are_in_commit(code, commit, root))


def _are_in_commit(items: list[Item], commit: str, root: Path) -> bool:
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo, repo.switch(commit):  # also where it is a folder of a larger git repository
            return all(hash_of(repo, item) == item.value for item in items)
    except Exception:  # DVC and git raise classes of many packages
        return False
