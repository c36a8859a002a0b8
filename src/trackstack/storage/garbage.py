"""`trackstack gc`: what nothing needs is found, shown, and only then removed.

All is decided before anything goes, and a run's folder moves aside before its refs and its objects go: killed
anywhere, what is needed is there, and the same command typed again ends what was begun.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError
from trackstack.core.files import remove
from trackstack.records.query import read_run, run_folders
from trackstack.storage.needs import Audit, Cache, Checkout, audit, needed_objects, open_cache, refs_of_runs
from trackstack.storage.removable import has_ended, removable_runs, sweeps
from trackstack.storage.sizes import Extent, extent_of
from trackstack.system.git import git
from trackstack.system.lease import is_live
from trackstack.tracking.db import transaction

REMOVED = ".removed"
"""Below `runs/`: run folders that a gc has moved aside."""
YOUNG_SECONDS = 3600.0
"""An object that is younger stays: a stage may have put it there, whose dvc.lock is not written yet."""
TABLES = ("lineage", "artifacts", "nan_metrics", "metrics")


class Garbage(NamedTuple):
    """What may go; nothing of it is needed."""

    runs: list[Path]
    clones: list[Path]
    """Of sweeps that have ended, and of reproductions and jobs that were killed."""
    checkpoints: list[Path]
    objects: list[Path]
    aside: list[Path]
    """Run folders that a gc has moved aside before it was killed."""
    kept: dict[str, str]
    """Runs that are old enough, and why they stay."""
    notes: list[str]
    """Why something else stays."""

    def extents(self) -> dict[str, Extent]:
        """Size and number of files of each kind."""
        kinds = {
            "runs": [*self.runs, *self.aside],
            "checkpoints of finished runs": [path for path in self.checkpoints if path.parent not in self.runs],
            "clones": self.clones,
            "objects of DVC's cache": self.objects,
        }
        return {kind: extent_of(paths) for kind, paths in kinds.items()}


def find_garbage(
    checkout: Checkout, keys: list[str], older_than: float | None, others: list[Checkout] | None, now: float
) -> Garbage:
    """Decide what may go; nothing is changed.

    Args:
        keys: runs that a person named.
        older_than: days; None for no other runs.
        others: all other checkouts that use the same cache; None where nobody has said which these are.
        now: seconds since 1970.

    Raises:
        UserError: no such run, or one that something needs.
    """
    runs, kept = removable_runs(checkout, keys, older_than, others, now)
    aside = sorted((checkout.home / "runs" / REMOVED).glob("*/"))
    gone = [folder.name for folder in (*runs, *aside)]
    cache = open_cache(checkout.root)
    objects, notes = _unneeded_objects(cache, checkout, gone, others, now)
    clones, waiting = _clones(checkout.home)
    return Garbage(runs, clones, _checkpoints(checkout.home), objects, aside, kept, notes + waiting)


def _unneeded_objects(
    cache: Cache, checkout: Checkout, gone: list[str], others: list[Checkout] | None, now: float
) -> tuple[list[Path], list[str]]:
    if others is None and not cache.folder.resolve().is_relative_to(checkout.root.resolve()):
        line = f"{cache.folder}: other checkouts may use this cache, so that it is left alone; name them: --checkouts"
        return [], [line]
    objects = cache.objects()  # before anything is asked: what comes later is not among them
    needed, problems = needed_objects(checkout, gone)
    for other in others or []:
        if open_cache(other.root).folder.resolve() != cache.folder.resolve():
            raise UserError(f"--checkouts {other.root}: its cache is another one; leave it out")
        found, more = needed_objects(other)
        needed, problems = needed + found, problems + more
    found_all: Audit = audit(cache, needed)
    problems += [
        f"{one.item.path} of {one.by}: the list of its files is missing; type: trackstack storage repair"
        for one in found_all.unknown
    ]
    if problems:
        return [], [f"the cache is left alone: {line}" for line in dict.fromkeys(problems)]
    unneeded = [path for path, name in objects.items() if name not in found_all.needed]
    old = [path for path in unneeded if path.lstat().st_mtime < now - YOUNG_SECONDS]
    young = len(unneeded) - len(old)
    return old, [f"objects of DVC's cache that are younger than an hour, and stay: {young}"] if young else []


def _clones(home: Path) -> tuple[list[Path], list[str]]:
    """The clones that nobody works in, and a line for each sweep that may go on."""
    found, notes = [], []
    for sweep in sweeps(home):
        here = [path for path in (sweep.folder / "base", sweep.folder / "work") if path.is_dir()]
        if not here:
            continue
        if has_ended(sweep):
            found += here
        else:
            notes.append(f"sweep {sweep.name} has not ended: its clones stay; trackstack sweep status {sweep.name}")
    for place in sorted((home / "runs/.reproductions").glob("*/")):
        found += [] if is_live(place) else [place]
    return found, notes


def _checkpoints(home: Path) -> list[Path]:
    """Those of runs that have finished: nothing goes on from them."""
    found = []
    for folder in run_folders(home):
        checkpoints = folder / "checkpoints"
        if checkpoints.is_dir() and not is_live(folder):
            record = read_run(folder)
            finished = record.series and all(one.series.status == "finished" for one in record.series)
            found += [checkpoints] if finished and not record.damage else []
    return found


def remove_garbage(shown: Garbage, fresh: Garbage, checkout: Checkout) -> None:
    """Remove what is garbage in two findings: the one that a person saw, and one of this moment."""
    runs = [folder for folder in fresh.runs if folder in shown.runs]
    names = [folder.name for folder in (*runs, *fresh.aside)]
    gone = [*map(_move_aside, runs), *fresh.aside]
    _remove_refs(checkout, names)
    _remove_rows(checkout.home, names)
    for path in set(fresh.objects) & set(shown.objects) if runs == shown.runs else ():
        path.unlink(missing_ok=True)
    for path in (*gone, *(set(fresh.checkpoints) & set(shown.checkpoints)), *(set(fresh.clones) & set(shown.clones))):
        if path.exists():
            shutil.rmtree(path)
    aside = checkout.home / "runs" / REMOVED
    if aside.is_dir() and not any(aside.iterdir()):
        aside.rmdir()


def _move_aside(folder: Path) -> Path:
    place = folder.parent / REMOVED / folder.name
    place.parent.mkdir(exist_ok=True)
    remove(place)
    return folder.rename(place)


def _remove_refs(checkout: Checkout, runs: Iterable[str]) -> None:
    if refs := refs_of_runs(checkout, runs):
        git(checkout.root, "update-ref", "--stdin", stdin="".join(f"delete {ref}\n" for ref in refs))


def _remove_rows(home: Path, runs: list[str]) -> None:
    """What SQLite has of runs that are gone; MLflow has its own `mlflow gc`."""
    database = home / "project.db"
    if not runs or not database.exists():
        return
    with transaction(database) as connection:
        for run in runs:
            for table in TABLES:
                connection.execute(
                    f"DELETE FROM {table} WHERE run_id IN (SELECT id FROM runs WHERE run_key = ?)", [run]
                )
            connection.execute("DELETE FROM runs WHERE run_key = ?", [run])
