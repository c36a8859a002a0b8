"""What `trackstack storage status` shows: a row for each place, and a line for each thing to worry about."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.query import run_folders
from trackstack.sharing.refs import RECORDS
from trackstack.sharing.transfer import open_repository
from trackstack.storage.garbage import REMOVED
from trackstack.storage.lost_runs import lost_runs
from trackstack.storage.needs import Audit, Cache, Checkout, audit, needed_objects, open_cache
from trackstack.storage.references import refs_of
from trackstack.storage.sizes import Extent, extent_of, files_below
from trackstack.system.git import git

DAY = 86_400.0
PURGE_DAYS = 60.0
"""After how many days without a read a file on scratch goes, as OSC has it."""
SOON_DAYS = 14.0
SHOWN = 5


class Place(NamedTuple):
    """A kind of files, and where they lie."""

    what: str
    path: Path
    extent: Extent


def places(checkout: Checkout) -> list[Place]:
    """What there is, with its size; nothing of what is empty."""
    root, home = checkout
    runs, repository = home / "runs", Path(root, git(root, "rev-parse", "--git-common-dir"))
    models, checkpoints = sorted(runs.glob("[!.]*/artifacts")), sorted(runs.glob("[!.]*/checkpoints"))
    databases = sorted(path for name in ("project.db", "mlflow.db") for path in home.glob(f"{name}*"))
    found = [
        ("records of runs", runs, run_folders(home), [*models, *checkpoints]),
        ("kept models", runs, models, []),
        ("checkpoints", runs, checkpoints, []),
        ("clones of sweeps", runs / ".sweeps", [runs / ".sweeps"], []),
        ("clones of reproductions", runs / ".reproductions", [runs / ".reproductions"], []),
        ("clones of jobs", runs / ".jobs", [runs / ".jobs"], []),
        ("half removed", runs / REMOVED, [runs / REMOVED], []),
        ("databases", home, databases, []),
        ("MLflow's files", home / "mlartifacts", [home / "mlartifacts"], []),
        ("DVC's cache", (cache := open_cache(root).folder), [cache], []),
        ("git", repository, [repository], []),
    ]
    rows = [Place(what, path, extent_of(paths, without)) for what, path, paths, without in found]
    return [row for row in rows if row.extent.inodes]


def worries(checkout: Checkout, now: float) -> list[str]:
    """A line for each thing that is missing, is nowhere else, or goes soon, with what to type."""
    refs = refs_of(checkout.root)
    with open_repository(checkout.root) as repo:
        cache = Cache(repo)
        todo = "trackstack push, and later trackstack storage repair"  # asked first: all that follows reads files
        soon = [*_near_purge("DVC's cache", [cache.folder], todo, now)]
        soon += _near_purge("runs", [checkout.home / "runs"], todo, now)
        needed, problems = needed_objects(checkout)
        found = audit(cache, needed)
        lines = [*_missing(found), *problems]
        lines += _nowhere_else(repo, cache, found)
    for run in lost_runs(checkout, refs):
        lines.append(f"run {run}: its folder is gone; type: trackstack storage repair")
    own = [folder.name for folder in run_folders(checkout.home) if f"{RECORDS}{folder.name}" not in refs]
    if own:
        lines.append(f"{_several(own)}: never pushed, so that their records are only here; type: trackstack push")
    return lines + soon


def _missing(found: Audit) -> Iterator[str]:
    for one in found.missing[:SHOWN]:
        yield f"{one.item.path} of {one.by}: is not whole in DVC's cache; type: trackstack storage repair"
    if len(found.missing) > SHOWN:
        yield f"... and {len(found.missing) - SHOWN} more that are not whole"


def _nowhere_else(repo: Any, cache: Cache, found: Audit) -> Iterator[str]:
    """What no DVC remote has of the needed objects; remotes that do not answer are named."""
    here = {name for name in cache.objects().values() if name in found.needed}
    alone = set(here)
    for remote in sorted(repo.config["remote"]):
        try:
            for algorithm in ("md5", "md5-dos2unix"):
                alone -= set(
                    repo.cloud.get_remote_odb(remote, "status", hash_name=algorithm).oids_exist(sorted(alone))
                )
        except Exception as error:  # of many packages
            reason = " ".join(str(error).split())[:120] or type(error).__name__
            yield f"DVC remote {remote}: it cannot be asked: {reason}"
    if alone:
        remotes = (
            "trackstack push, or dvc push" if repo.config["core"].get("remote") else "dvc remote add -d NAME PLACE"
        )
        yield f"{len(alone)} of {len(here)} needed objects are in no DVC remote: only here; type: {remotes}"


def _near_purge(what: str, paths: Iterable[Path], todo: str, now: float) -> Iterator[str]:
    """Files on scratch that nobody has read for so long that they go soon."""
    days = _purge_days(paths)
    if days is None:
        return
    old = []
    for path in files_below(paths):
        try:
            found = os.lstat(path)
        except OSError:
            continue
        if found.st_atime < now - (days - SOON_DAYS) * DAY and not os.path.isdir(path):  # noqa: PTH112
            old.append(found)
    if old:
        size = sum(file.st_size for file in old) / 1e6
        left = max(0.0, days - (now - min(file.st_atime for file in old)) / DAY)
        yield (
            f"{what}: {len(old):,} files ({size:,.1f} MB) were last read more than {days - SOON_DAYS:.0f} days ago, "
            f"and go after {days:.0f}, the first in {left:.0f} days; type: {todo}"
        )


def _purge_days(paths: Iterable[Path]) -> float | None:
    """After how many days a file in these places goes: TRACKSTACK_PURGE_DAYS, or OSC's on TRACKSTACK_SCRATCH.

    Raises:
        UserError: TRACKSTACK_PURGE_DAYS is no number.
    """
    given, scratch = os.environ.get("TRACKSTACK_PURGE_DAYS"), os.environ.get("TRACKSTACK_SCRATCH")
    if scratch and not any(path.resolve().is_relative_to(Path(scratch).resolve()) for path in paths):
        return None
    if given is None:
        return PURGE_DAYS if scratch else None
    try:
        return float(given)
    except ValueError:
        raise UserError(f"TRACKSTACK_PURGE_DAYS is {given!r}; expected a number of days") from None


def _several(runs: list[str]) -> str:
    return f"run {runs[0]}" if len(runs) == 1 else f"{len(runs)} runs"
