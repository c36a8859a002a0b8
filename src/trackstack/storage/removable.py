"""Which runs may go, and why the others stay."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.cluster.search import is_search, load_search
from trackstack.cluster.search.looks import is_over
from trackstack.cluster.sweep import Sweep, load_sweep
from trackstack.core.dvc_yaml import locked_stages
from trackstack.records.promotion.versions import read_models
from trackstack.records.query import RunRecord, find_run, read_run, run_folders
from trackstack.sharing.folders import EXPORT_NOTE
from trackstack.storage.needs import Checkout
from trackstack.storage.references import locks_of, name_of, refs_of
from trackstack.system.git import user_name
from trackstack.system.lease import is_live

DAY = 86_400.0
SAFE_REFS = ("refs/heads/", "refs/remotes/", "refs/tags/", "HEAD of ")


class Keepers:
    """What keeps runs: promotions, exports, branches and tags, the working tree, and whoever is at work."""

    def __init__(self, checkout: Checkout, now: float):
        self._root, self._now = checkout.root, now
        refs = {ref: commit for ref, commit in refs_of(checkout.root).items() if ref.startswith(SAFE_REFS)}
        self._tips = {commit: name_of(ref) for ref, commit in reversed(refs.items())}  # a branch before its HEAD
        unique = {ref: commit for ref, commit in refs.items() if self._tips[commit] == name_of(ref)}
        self._locks = {name_of(ref): lock for ref, lock in locks_of(checkout.root, unique).items()}
        self._locks["the working tree"] = locked_stages(checkout.root)
        models = read_models(checkout.root).values()
        self._versions = {version.run: version.tag for model in models for version in model.versions}
        self._active = {sweep.name for sweep in sweeps(checkout.home) if not has_ended(sweep)}

    def reason(self, record: RunRecord) -> str | None:
        """Why a run stays whatever its age; None for one that may go."""
        if is_live(record.folder):
            return "is running"
        if not record.series or record.damage:
            return "is damaged, so that nobody knows what keeps it"
        if any(one.series.promoted for one in record.series) or record.folder.name in self._versions:
            tag = self._versions.get(record.folder.name)
            return f"is promoted{f' as {tag}' if tag else ''}"
        if (record.folder / EXPORT_NOTE).exists():
            return "is exported"
        for one in record.series:
            tags = one.series.start["tags"]
            if tags.get("sweep") in self._active:
                return f"is of sweep {tags['sweep']}, which has not ended"
            if found := self._where(one.series.upstream, tags):
                return f"is on {found}"
        return None

    def _where(self, upstream: list[dict[str, Any]], tags: dict[str, str]) -> str | None:
        """The branch, tag or working tree whose dvc.lock is of a run; of a run without one, that has its commit."""
        for name, lock in self._locks.items():
            if any(_may_be_of(record, lock) for record in upstream):
                return name
        known = [self._tips[tags[name]] for name in ("source", "git_commit") if tags.get(name) in self._tips]
        return known[0] if known and not any("stage" in record for record in upstream) else None


def _may_be_of(record: dict[str, Any], lock: dict[str, dict[str, Any]]) -> bool:
    """Whether a dvc.lock has the stage that recorded a run with its parameters and with all that it read.

    Its code is not compared, which errs on the side of keeping the run.
    """
    entry = lock.get(record.get("stage", ""))
    if entry is None:
        return False
    for file, values in record.get("params", {}).items():
        locked = entry.get("params", {}).get(file, {})
        if any(locked.get(name) != value for name, value in values.items()):
            return False
    read = {out["path"]: out.get("md5") for stage in record["stages"].values() for out in stage.get("outs", [])}
    read |= {data["path"]: data.get("md5") for data in record["data"]}
    return all(dep.get("md5") == read.get(dep["path"], dep.get("md5")) for dep in entry.get("deps", []))


def removable_runs(
    checkout: Checkout, keys: list[str], older_than: float | None, others: list[Checkout] | None, now: float
) -> tuple[list[Path], dict[str, str]]:
    """The folders of runs that go, and by id the reason of each that was to go and stays.

    Args:
        keys: runs that a person named: by id, its beginning, or name.
        older_than: with all others that ended so many days ago, and are this person's; None for no others.
        others: all other checkouts around the home; None where nobody has said which these are.

    Raises:
        UserError: no such run, a named one that something needs, or a home that checkouts share which nobody named.
    """
    if not keys and older_than is None:
        return [], {}
    if others is None and not checkout.home.resolve().is_relative_to(checkout.root.resolve()):
        raise UserError(
            f"{checkout.home}: other checkouts may need its runs; name them: --checkouts (or --checkouts .)"
        )
    keepers = [Keepers(Checkout(one.root, checkout.home), now) for one in (checkout, *(others or []))]
    named = list(dict.fromkeys(find_run(checkout.home, key).series.folder for key in keys))
    for folder in named:
        if reason := _reason(keepers, read_run(folder)):
            raise UserError(f"run {folder.name} {reason}; nothing was removed")
    gone, kept = named, {}
    for folder in run_folders(checkout.home) if older_than is not None else []:
        if folder not in named and _ended_before(folder, now - (older_than or 0) * DAY):
            record = read_run(folder)
            if reason := _reason(keepers, record) or _other_owner(record):
                kept[folder.name] = reason
            else:
                gone.append(folder)
    return gone, kept


def _reason(keepers: list[Keepers], record: RunRecord) -> str | None:
    return next(filter(None, (keeper.reason(record) for keeper in keepers)), None)


def _other_owner(record: RunRecord) -> str | None:
    users = {one.series.start["environment"].get("user") for one in record.series} - {None, user_name()}
    return f"is of {', '.join(sorted(users))}, and goes by name only" if users else None


def _ended_before(folder: Path, time: float) -> bool:
    """Whether nothing was written about a run since."""
    return all(path.stat().st_mtime < time for path in folder.glob("*.json*"))


def sweeps(home: Path) -> Iterator[Sweep]:
    """The sweeps of a home whose notes are whole."""
    for file in sorted((home / "runs/.sweeps").glob("*/sweep.json")):
        with contextlib.suppress(UserError, FileNotFoundError):
            yield load_sweep(file.parent)


def has_ended(sweep: Sweep) -> bool:
    """Whether each trial has finished or failed, or a search has nothing left to do, and nobody is at work on it."""
    if is_live(sweep.folder):
        return False
    finished = sweep.finished()
    notes = {trial.name: sweep.status(trial.name).state for trial in sweep.trials}
    if not all(name in finished or state == "failed" for name, state in notes.items()):
        return False
    try:
        if is_search(sweep.folder) and not is_over(load_search(sweep.folder)):
            return False
        return not sweep.tasks()
    except UserError:  # Slurm does not answer
        return False
