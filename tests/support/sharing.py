"""Homes of several people around one git remote and one DVC remote, all real, and runs that are recorded in them."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.projects import command_environment, run_in
from trackstack.tracking.run import Run, start_run

RUN = "r0123456789ab"
PIPELINE = """
stages:
  prepare:
    cmd: mkdir data && cp raw.txt data/one.txt && cp raw.txt data/two.txt && echo 2 >> data/two.txt
    deps: [raw.txt]
    outs: [data]
  scratch:
    cmd: cat data/one.txt data/two.txt > scratch.txt
    deps: [data]
    outs:
      - scratch.txt:
          push: false
  train:
    cmd: sort -r scratch.txt > model.txt
    deps: [scratch.txt]
    params: [lr]
    outs: [model.txt]
  draw:
    cmd: cp model.txt figure.txt
    deps: [model.txt]
    outs: [figure.txt]
"""


def build_origin(folder: Path) -> None:
    """A reproduced and committed DVC repository; one of its outputs is not to be pushed."""
    run_in(folder, "git init -q -b main && dvc init -q && dvc config core.analytics false")
    (folder / "dvc.yaml").write_text(PIPELINE)
    (folder / "params.yaml").write_text("lr: 0.1\n")
    (folder / "raw.txt").write_text("1\n")
    (folder / ".gitignore").write_text("/runs/\n*.db\n")
    run_in(folder, "dvc add -q raw.txt && dvc repro -q && git add -A && git commit -qm 'Somebody else'")


class Group:
    """A hub (bare git repository and DVC remote) in a folder, and the homes around it.

    Args:
        inside: where in its git repository the DVC repository lies.
    """

    def __init__(self, place: Path, origin: Path, inside: str = ""):
        self.place, self.hub, self.store, self._inside = place, place / "hub.git", place / "store", inside
        top = place / "the first home"
        self.first = shutil.copytree(origin, top / inside, symlinks=True)
        if inside:
            shutil.rmtree(self.first / ".git")
            run_in(top, "git init -q -b main && git add -A && git commit -qm 'Of many'")
        run_in(place, "git clone -q --bare 'the first home' hub.git")
        run_in(self.first, "git remote add origin ../hub.git")
        self._connect(self.first)

    def clone(self, name: str) -> Path:
        """Somebody's clone of the hub: without data, without runs."""
        run_in(self.place, f"git clone -q hub.git '{name}'")
        self._connect(self.place / name / self._inside)
        return self.place / name / self._inside

    def _connect(self, home: Path) -> None:
        text = f"[core]\n    remote = store\n['remote \"store\"']\n    url = {self.store}\n"
        (home / ".dvc/config.local").write_text(text)

    def refs(self) -> dict[str, str]:
        """All refs at the hub but branches."""
        lines = run_in(self.hub, "git for-each-ref --format='%(refname) %(objectname)'").stdout.splitlines()
        return {ref: commit for ref, commit in map(str.split, lines) if not ref.startswith("refs/heads/")}


@contextmanager
def inside(home: Path, **more: str) -> Iterator[None]:
    """This process is a command of somebody in this home."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(home)
        for name in set(os.environ) - set(given := command_environment() | more):
            patch.delenv(name)
        for name, value in given.items():
            patch.setenv(name, value)
        yield


@contextmanager
def recorded(home: Path, run: str = RUN, loss: float = 0.5, **more: str) -> Iterator[Run]:
    """The stage `train` records a run: its model, and whatever the block does with it."""
    with inside(home, DVC_STAGE="train", **more), start_run("tiny", {"lr": 0.1}, run_id=run, stage="train") as one:
        one.log({"loss": loss}, step=0)
        if (home / "model.txt").exists():
            one.log_artifact(home / "model.txt", kind="model")
        yield one


def record(home: Path, run: str = RUN, loss: float = 0.5, **more: str) -> None:
    """Record a run that does nothing else."""
    with recorded(home, run, loss, **more):
        pass
