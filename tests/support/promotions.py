"""A DVC repository in which models are trained in an instant, by this process and recorded by it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
from dvc.repo import Repo

from support.projects import run_in
from support.sinks import START
from trackstack.core.digest import digest_path
from trackstack.tracking.journal import Journal
from trackstack.tracking.snapshot import keep_source
from trackstack.tracking.upstream import upstream_of_running_stage

PIPELINE = """
# A comment that stays
stages:
  prepare:
    cmd: cp numbers.txt data.txt
    deps: [numbers.txt]
    outs: [data.txt]
  train:
    cmd: mkdir -p weights && cat data.txt settings.txt > weights/values
    deps: [data.txt, settings.txt]
    outs: [weights]
"""


def build(root: Path) -> None:
    """Two stages and a commit, in a repository that is empty but for DVC."""
    (root / "dvc.yaml").write_text(PIPELINE)
    (root / "numbers.txt").write_text("1 2 3\n")
    (root / "settings.txt").write_text("")
    (root / ".gitignore").write_text("/runs\n/*.db*\n/mlartifacts\n/data.txt\n/weights\n")
    run_in(root, "git add -A && git commit -qm 'A pipeline'")


def train(root: Path, run: str, setting: str, in_mlflow: bool = False, by_stage: bool = True, **start: Any) -> Path:
    """Change a setting, train, and record a finished run, with its source from before; its folder."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        (root / "settings.txt").write_text(setting)
        with Repo() as repo:
            repo.reproduce("prepare")
        source = keep_source(run, root)
        patch.setenv("DVC_STAGE", "train")
        upstream = upstream_of_running_stage() if by_stage else None
        with Repo() as repo:
            repo.reproduce("train")
    return record(root, run, root / "weights", source, in_mlflow, upstream=upstream, **start)


def record(root: Path, run: str, model: Path, source: str | None, in_mlflow: bool = False, **start: Any) -> Path:
    """Write the journal of a finished run with this model."""
    folder = root / "runs" / run
    kept = folder / "artifacts/1" / model.name
    shutil.copytree(model, kept, copy_function=shutil.copyfile)
    mlflow = {
        "uri": f"sqlite:///{root}/mlflow.db",
        "artifacts": str(root / "mlartifacts"),
        "experiment": "trackstack",
    }
    tags = {"model_name": "linear"} | ({"source": source} if source else {})
    about = {"run": run, "attempt": 1, "tags": tags, "destinations": {"mlflow": mlflow} if in_mlflow else {}}
    artifact = {"kind": "model", "path": f"artifacts/1/{model.name}", "name": model.name, "digest": digest_path(kept)}
    journal = Journal(folder)
    journal.write(START | about | start)
    journal.write({"type": "metrics", "time": START["time"], "step": 0, "values": {"val_accuracy": 0.9}})
    journal.write({"type": "artifact", "time": START["time"], **artifact})
    journal.write({"type": "end", "time": START["time"] + 1, "status": "finished", "error": None})
    journal.close()
    return folder
