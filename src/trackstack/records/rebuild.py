"""Write the journal of a run that never executed here, from what git and DVC hold of a commit or an experiment.

For runs that came out of the run cache, from a colleague, or whose records were lost: the parameters in `dvc.lock`,
the metrics files and DVCLive's tables give back parameters, curves and final figures.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.dvc_yaml import DVC_LOCK, DVC_YAML, relative_to_root
from trackstack.core.files import remove
from trackstack.system.git import git, try_git
from trackstack.system.lease import is_live
from trackstack.tracking.delivery.note import SYNC_NOTE
from trackstack.tracking.environment import destinations
from trackstack.tracking.journal import Journal, journals
from trackstack.tracking.params import flatten
from trackstack.tracking.series import RunFolder

RUN_ID = re.compile(r"r[0-9a-f]{12}")
CURVES = "plots/metrics"  # below DVCLive's folder: a table for each metric
LARGEST_JSON = 1 << 20


class Revision(NamedTuple):
    """A commit, and the files that DVC has of it."""

    commit: str
    files: Any
    stages: dict[str, Any]
    """The entries of its dvc.lock."""

    def outputs(self) -> Iterator[tuple[str, str]]:
        """Each output's path, and the stage that made it."""
        for name, entry in self.stages.items():
            yield from ((out["path"], name) for out in entry.get("outs", []))

    def read(self, path: str) -> str:
        """The text of a file; UserError when DVC cannot give it."""
        try:
            return self.files.read_text(path)
        except Exception as error:  # DVC, its storage and its remotes raise classes of many packages
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{self.commit[:10]}: DVC cannot give {path} ({reason}); dvc pull may bring it") from None

    def below(self, path: str) -> list[dict[str, Any]]:
        """The files in a folder; none where it is not there."""
        try:
            return self.files.ls(path, detail=True)
        except Exception:
            return []


def rebuild(revision: str, home: Path) -> tuple[str, bool]:
    """Make sure that the run of a commit or experiment has a record; return its id, and whether one was written.

    Raises:
        UserError: no such revision, or it has no stage that DVC has run.
    """
    found = _open(revision)
    run, stage = _run_of(found)
    folder = home / "runs" / run
    if folder.exists() and journals(folder):
        if RunFolder(folder).refresh() or is_live(folder):
            return run, False
        for _, damaged in journals(folder):  # none of them has a start
            damaged.rename(damaged.with_name(f"{damaged.name}.damaged"))
    remove(folder / SYNC_NOTE)  # of the record that is gone
    records = list(_records(found, run, stage))
    journal = Journal(folder)
    for record in records:
        journal.write(record | {"destinations": destinations(home)} if record["type"] == "start" else record)
    journal.close()
    return run, True


def experiment_names(root: Path = Path()) -> dict[str, str]:
    """Every DVC experiment of a repository: commit to name."""
    lines = git(root, "for-each-ref", "--format=%(objectname) %(refname)", "refs/exps").splitlines()
    refs = [line.split(" ", 1) for line in lines]
    # refs/exps/ab/cdef…/NAME; the queue's own entries have other shapes
    return {commit: ref.rsplit("/", 1)[1] for commit, ref in refs if ref.count("/") == 4}


def _open(revision: str) -> Revision:
    from dvc.api import DVCFileSystem  # a second to import: not before it is needed

    commit = {name: commit for commit, name in experiment_names().items()}.get(revision)
    commit = commit or try_git(Path(), "rev-parse", "--verify", "--quiet", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(f"{revision}: neither a commit nor a DVC experiment; dvc exp list shows those")
    stages = dict(locked_stages_of(commit))
    if not stages:
        raise UserError(f"{commit[:10]}: no dvc.lock in it names a stage that was run; reproduce it with dvc repro")
    return Revision(commit, DVCFileSystem(".", rev=commit), stages)


def locked_stages_of(commit: str, root: Path = Path()) -> Iterator[tuple[str, dict[str, Any]]]:
    """The entries of every dvc.lock of a commit by their stages' addresses, with paths from the root."""
    for lock in git(root, "ls-tree", "-r", "--name-only", "-z", commit).split("\0"):
        file = PurePosixPath(lock)
        if file.name == DVC_LOCK:
            locked = yaml.safe_load(git(root, "show", f"{commit}:./{lock}")) or {}
            defined = yaml.safe_load(try_git(root, "show", f"{commit}:./{file.with_name(DVC_YAML)}") or "") or {}
            for name, entry in (locked.get("stages") or {}).items():
                stage = (defined.get("stages") or {}).get(name.partition("@")[0], {})
                folder = file.parent / (stage.get("wdir") or stage.get("do", {}).get("wdir") or ".")
                address = name if lock == DVC_LOCK else f"{file.with_name(DVC_YAML)}:{name}"
                yield address, relative_to_root(str(folder), entry)


def _run_of(revision: Revision) -> tuple[str, str]:
    """The id that an output names as its `run`, such as a model's description, and the stage that made that output.

    A pipeline that writes no such file gets an id of what `dvc.lock` says, so that equal results are one run.
    """
    for path, stage in revision.outputs():
        for file in [{"name": path, "size": 0}, *revision.below(path)]:
            if file["name"].endswith(".json") and (file.get("size") or 0) <= LARGEST_JSON:
                try:
                    content = json.loads(revision.read(file["name"]))
                except (UserError, ValueError):
                    continue
                if isinstance(content, dict) and RUN_ID.fullmatch(str(content.get("run"))):
                    return content["run"], stage
    return "r" + digest_json(revision.stages)[:12], list(revision.stages)[-1]


def _records(revision: Revision, run: str, stage: str) -> Iterator[dict[str, Any]]:
    commit = revision.commit
    when = float(git(Path(), "show", "-s", "--format=%ct", commit))
    experiment = experiment_names().get(commit)
    params = _params(revision)
    model = params.get("train", {}).get("model") if isinstance(params.get("train"), dict) else None
    tags = {"git_commit": commit, "rebuilt": "true", "dvc_exp": experiment, "model_name": model}
    yield {
        "type": "start",
        "time": when,
        "run": run,
        "attempt": 1,
        "stage": stage,
        "series": 1,
        "name": experiment or run,
        "params": params,
        "tags": {name: value for name, value in tags.items() if value},
        "data": None,
        "upstream": {"stage": stage, "deps": [], "params": {}, "stages": revision.stages, "data": []},
        "environment": {
            "user": git(Path(), "show", "-s", "--format=%an", commit),
            "device": "unknown",
            "packages": {},
        },
    }
    curves = _curves(revision)
    for step, values in sorted(curves.items()):
        yield {"type": "metrics", "time": when, "step": step, "values": values}
    known = {name for values in curves.values() for name in values}
    if final := {name: value for name, value in _metrics(revision).items() if name not in known}:
        yield {"type": "metrics", "time": when, "step": max(curves, default=0), "values": final}
    yield {"type": "end", "time": when, "status": "finished", "error": None}


def _params(revision: Revision) -> dict[str, Any]:
    """The parameters that the stages follow, nested as in their files."""
    nested: dict[str, Any] = {}
    for entry in revision.stages.values():
        for values in entry.get("params", {}).values():
            for name, value in values.items():
                *sections, last = name.split(".")
                place = nested
                for section in sections:
                    place = place.setdefault(section, {})
                place[last] = value
    return nested


def _curves(revision: Revision) -> dict[int, dict[str, float]]:
    """DVCLive's tables as values by step."""
    curves: dict[int, dict[str, float]] = {}
    for output, _ in revision.outputs():
        for file in revision.below(f"{output}/{CURVES}"):
            name = PurePosixPath(file["name"]).stem
            for row in csv.DictReader(io.StringIO(revision.read(file["name"])), delimiter="\t"):
                curves.setdefault(int(row["step"]), {})[name] = float(row[name])
    return curves


def _metrics(revision: Revision) -> dict[str, float]:
    """The numbers of all metrics files, by dotted names."""
    from dvc.repo import Repo

    try:
        with Repo(".") as repo:  # dvc.api fails, too, where it is the working tree that has no such file
            files = repo.metrics.show(revs=[revision.commit])[revision.commit].get("data", {}).values()
        if fault := next((file["error"] for file in files if "error" in file), None):
            raise fault
    except Exception as error:  # DVC's storage raises classes of many packages
        reason = " ".join(str(error).split())[:120]
        raise UserError(
            f"{revision.commit[:10]}: DVC cannot give its metrics ({reason}); dvc pull may bring them"
        ) from None
    return {
        name: value
        for file in files
        for name, value in flatten(file["data"]).items()
        if isinstance(value, int | float) and name != "step"
    }
