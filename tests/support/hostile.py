"""Persons and folders that every command must work for: what somebody's git, shell, locale or path is like.

case = enter("signing and hooks", project, tmp_path)
run_in(case.folder, "trackstack sweep -S lr=1,2 --local", env=case.environment)
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from support.foreign import foreign_environment
from support.projects import run_in

GIT = {
    "signing": "[commit]\ngpgSign = true\n[tag]\ngpgSign = true\n[gpg]\nprogram = /bin/false\n",
    "hooks": "[core]\nhooksPath = {hooks}\n",
    "another name for the remote": "[clone]\ndefaultRemoteName = upstream\n",
    "line ends": "[core]\nautocrlf = true\neol = crlf\n",
    "a template": "[init]\ntemplateDir = {template}\n",
    "colours": "[color]\nui = always\n[log]\nshowSignature = true\n",
    "a commit template": "[commit]\ntemplate = /nowhere\n[push]\nfollowTags = true\n[submodule]\nrecurse = true\n",
    "files from nowhere": "[protocol.file]\nallow = never\n",
    "names as they are": "[core]\nquotePath = false\nprecomposeUnicode = true\n[status]\nshort = true\nbranch = true\n",
}
"""Settings of a person's git: each alone failed a trial at its end, or changed its files."""


class Case(NamedTuple):
    """Where and with what environment to try a command."""

    folder: Path
    environment: dict[str, str]


def git_config(place: Path, *names: str) -> dict[str, str]:
    """Variables for a person's git with some of the settings, and with hooks that refuse everything."""
    for name in ("hooks/pre-push", "hooks/commit-msg", "hooks/post-checkout", "template/hooks/pre-commit"):
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text("#!/bin/sh\nexit 1\n")
        (place / name).chmod(0o755)
    text = "".join(GIT[name] for name in names).format(hooks=place / "hooks", template=place / "template")
    (place / "gitconfig").write_text(f"[user]\nname = x\nemail = x@y\n{text}")
    return {"GIT_CONFIG_GLOBAL": str(place / "gitconfig")}


def _other_repository(place: Path) -> dict[str, str]:
    (place / "other").mkdir()
    run_in(place / "other", "git init -q && git commit -q --allow-empty -m x")
    own = {"GIT_NAMESPACE": "other", "GIT_LITERAL_PATHSPECS": "1", "GIT_ALLOW_PROTOCOL": "https"}
    return {"GIT_DIR": str(place / "other/.git"), "GIT_PREFIX": "", "GIT_EDITOR": "false", **own}


def _other_python(place: Path) -> dict[str, str]:
    (place / "modules").mkdir()
    (place / "modules/dask.py").write_text("raise RuntimeError('of another Python')\n")
    return {"PYTHONPATH": f"{place / 'modules'}:{foreign_environment()['PYTHONPATH']}", "PIP_USER": "1"}


PERSONS: dict[str, Callable[[Path], dict[str, str]]] = {
    "signing and hooks": lambda place: git_config(place, "signing", "hooks", "a commit template"),
    "remote and template": lambda place: git_config(
        place, "another name for the remote", "a template", "files from nowhere"
    ),
    "line ends and colours": lambda place: git_config(place, "line ends", "colours", "names as they are"),
    "GIT_DIR": _other_repository,
    "an outer job": lambda _: {
        "SLURM_CPU_BIND": "mask_cpu:0x1",
        "SLURM_MEM_PER_CPU": "1",
        "SLURM_EXPORT_ENV": "NONE",
    },
    "locale C": lambda _: {"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": "0"},
    "another Python's modules": _other_python,
    "no home": lambda _: {"HOME": "/nonexistent", "XDG_CACHE_HOME": "", "XDG_CONFIG_HOME": ""},
    "time zone and threads": lambda _: {"TZ": "Asia/Kolkata", "PYTHONHASHSEED": "7", "OMP_NUM_THREADS": "1"},
}
"""What a person has set, as variables; `place` is a folder for what these name."""
FOLDERS = {
    "#, % and ;": b"a#1 50%25 b;c",
    "quotes and $": b'it\'s "$HOME" `x` \\',
    "a newline": b"a\nb",
    "200 characters": b"x" * 200,
    "not UTF-8": b"caf\xe9",
    "braces": b"{a}",
}
"""The folder that the project lies in."""
OTHERS = ("a symlink", "a file that is not UTF-8", "a folder of a larger repository", "a worktree")
SETTINGS = [*PERSONS, *FOLDERS, *OTHERS]
REFUSED = ("not UTF-8", "braces")
"""Where DVC fails at its first stage, whatever one does; trackstack says so before anything starts."""
NOT_IN_MLFLOW = ("not UTF-8",)
"""Where MLflow opens no database."""
NOT_CLONED = ("a newline",)
"""Where git cannot share a folder's objects, for sweeps and pinned jobs."""
NOT_LAUNCHED = ("#, % and ;", "quotes and $")
"""Where Slurm launches no job, since `%2` and a backslash are its own."""
ADDRESSES = ("#, % and ;", "a newline")
"""Where `dvc exp run --temp` and `--queue` fail, which make an address of the path without quoting it."""


def enter(setting: str, project: Path, place: Path) -> Case:
    """A copy of a project below `place` under one of `SETTINGS`, and the environment to run commands in."""
    environment = foreign_environment()
    name = os.fsdecode(FOLDERS.get(setting, b"a checkout"))
    folder = place / name
    shutil.copytree(project, folder, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    if setting in PERSONS:
        environment |= PERSONS[setting](place)
    elif setting == "a symlink":
        (place / "link").symlink_to(name)
        folder = place / "link"
        environment["PWD"] = str(folder)
    elif setting == "a file that is not UTF-8":
        (folder / os.fsdecode(b"notes_\xe9.txt")).write_text("x")
    elif setting == "a folder of a larger repository":
        shutil.rmtree(folder / ".git")
        run_in(
            place, "mkdir big && mv 'a checkout' big/ml && cd big && git init -q && git add -A && git commit -qm x"
        )
        folder = place / "big/ml"
    elif setting == "a worktree":
        run_in(folder, "git worktree add -q --detach ../tree")
        run_in(place / "tree", f"dvc cache dir --local '{folder}/.dvc/cache' && dvc checkout -q --allow-missing")
        folder = place / "tree"
    return Case(folder, environment)


TRAIN = """
import sys
import trackstack

with trackstack.start_run("line", {"lr": float(sys.argv[1])}) as run:
    run.log({"loss": float(sys.argv[1])}, step=0)
open("out.txt", "w").write(sys.argv[1])
"""


def build_line(place: Path) -> None:
    """The smallest pipeline that records a run: one stage, one parameter; committed, and never run."""
    (place / "train.py").write_text(TRAIN)
    (place / "params.yaml").write_text("lr: 1\n")
    stage = "  train:\n    cmd: python train.py ${lr}\n    deps: [train.py]\n    params: [lr]\n    outs: [out.txt]\n"
    (place / "dvc.yaml").write_text(f"stages:\n{stage}")
    init = "git init -q -b main && dvc init -q && dvc config core.analytics false && trackstack init"
    run_in(place, f"{init} && git add -A && git commit -qm 'A line'", env=foreign_environment())


def recorded(folder: Path) -> int:
    """How many runs a home has."""
    return len(list(folder.glob("runs/r*/journal-1.jsonl")))
