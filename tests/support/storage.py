"""Homes with many runs of which each has objects of its own in DVC's cache: written as DVC and a run write them."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path
from typing import Any

import yaml

from support.choosing import write_run
from support.projects import run_in
from support.sinks import note_promotion
from trackstack.core.files import sealed, write_json
from trackstack.records.query import find_run
from trackstack.storage.needs import Checkout
from trackstack.system.git import git, user_name


def put_object(root: Path, data: bytes, ending: str = "") -> str:
    """An object in the cache of a checkout, as old as time; its name."""
    name = hashlib.md5(data).hexdigest() + ending
    path = root / ".dvc/cache/files/md5" / name[:2] / name[2:]
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    os.utime(path, (0, 0))
    return name


def write_run_with_objects(root: Path, lr: float, user: str | None = None, **more: Any) -> str:
    """A finished run of the stage `train` that read an object of its own and put out another; its id."""
    scratch = {"path": "scratch.txt", "hash": "md5", "md5": put_object(root, f"scratch {lr}".encode())}
    model = {"path": "model.txt", "hash": "md5", "md5": put_object(root, f"model {lr}".encode())}
    scratched = {"cmd": "cp", "deps": [], "outs": [scratch]}
    followed = {"params.yaml": {"lr": lr}}
    upstream = {"stage": "train", "deps": ["scratch.txt"], "params": followed, "data": []}
    commit = git(root, "commit-tree", "HEAD^{tree}", "-p", "HEAD", "-m", f"Source of {lr}")
    tags = {"source": commit, "git_commit": git(root, "rev-parse", "HEAD")} | more.pop("tags", {})
    more["environment"] = {"user": user or user_name(), "packages": {}}
    run = write_run(
        root, {"lr": lr}, {"loss": lr}, upstream=upstream | {"stages": {"scratch": scratched}}, tags=tags, **more
    )
    git(root, "update-ref", f"refs/trackstack/{run}", commit)
    trained = {"cmd": "sort", "deps": [scratch], "params": followed, "outs": [model]}
    write_json(root / f"runs/{run}/outputs-1.json", sealed({"stages": {"train": trained}}))
    return run


def put_on_branch(root: Path, run: str, branch: str) -> None:
    """A branch whose dvc.lock is that of a run."""
    series = find_run(root, run).series
    own = yaml.safe_load((series.folder / "outputs-1.json").read_text())["stages"]
    lock = {"schema": "2.0", "stages": series.upstream[0]["stages"] | own}
    blob = git(root, "hash-object", "-w", "--stdin", stdin=yaml.safe_dump(lock))
    tree = git(root, "ls-tree", "HEAD").splitlines()
    lines = [line for line in tree if not line.endswith("\tdvc.lock")] + [f"100644 blob {blob}\tdvc.lock"]
    commit = git(root, "commit-tree", git(root, "mktree", stdin="\n".join(lines) + "\n"), "-p", "HEAD", "-m", branch)
    git(root, "branch", branch, commit)


def promote(root: Path, run: str) -> None:
    """Note that the run's model was promoted."""
    series = find_run(root, run).series
    series.artifacts = [{"kind": "model", "digest": "d"}]
    note_promotion(series, "shoulder", "champion")


def checkout_of(root: Path) -> Checkout:
    return Checkout(root, root)


def objects_in(root: Path) -> set[str]:
    """The names of all objects in the cache of a checkout."""
    files = (root / ".dvc/cache/files/md5").glob("??/*")
    return {path.parent.name + path.name for path in files if path.is_file()}


def grow_old(root: Path) -> None:
    """All that was written so far is as old as time."""
    run_in(root, "mkdir -p runs && find runs .dvc/cache -exec touch -h -d @0 {} +")
