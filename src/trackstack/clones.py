"""A clone of its own for each experiment: several `dvc exp run` in one checkout fail on its lock.

Git shares the objects (`git clone --shared`), DVC the cache, and the experiment is pushed back to the checkout that
the clone was made from: as DVC keeps experiments, a commit under `refs/exps/` and its baseline.
"""

from __future__ import annotations

import configparser
import contextlib
import getpass
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError

DVC = [sys.executable, "-P", "-m", "dvc"]
# What `dvc exp run` does, for a clone where nothing has to be stashed and put back: a second of CPU less per trial.
EXPERIMENT = """
import sys
from dvc.cli import main
from dvc.utils.hydra import apply_overrides
end = sys.argv.index("--")
if end > 1:
    apply_overrides("params.yaml", sys.argv[1:end])
main(["checkout", "--quiet", "--allow-missing"])
sys.exit(main(["repro", *sys.argv[end + 1:]]))
"""


def experiment_name(prefix: str, identity: object) -> str:
    """A name that git and DVC accept, unique for what it stands for."""
    from trackstack.digest import digest_json  # imports numpy, which a trial's task does without

    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", prefix).strip("-")
    return f"{safe}-{digest_json(identity)[:6]}"


@contextlib.contextmanager
def pinned_clone(origin: Path, commit: str, folder: Path, cache: Path) -> Iterator[Path]:
    """A clone of `origin` at a commit that shares its objects and DVC's cache; removed at the end."""
    make_clone(origin, commit, folder, cache)
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_clone(origin: Path, commit: str, folder: Path, cache: Path) -> None:
    """Make the clone, in the place of what an attempt that was killed has left there."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(folder.parent, "clone", "--quiet", "--shared", "--no-checkout", str(origin.resolve()), str(folder))
    git(folder, "checkout", "--quiet", "--detach", commit)
    local = configparser.ConfigParser()
    own = origin / ".dvc/config.local"
    if own.exists():  # remotes and credentials of this person
        local.read(own)
    local["cache"] = {**(local["cache"] if local.has_section("cache") else {}), "dir": str(cache)}
    # A look for a newer DVC is a process of its own, in every trial.
    local["core"] = {**(local["core"] if local.has_section("core") else {}), "check_update": "false"}
    with (folder / ".dvc/config.local").open("w") as file:
        local.write(file)


def cache_folder(origin: Path) -> Path:
    """Where the checkout's DVC keeps its cache."""
    done = subprocess.run([*DVC, "cache", "dir"], cwd=origin, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{origin}: dvc cache dir: {' '.join(done.stderr.split())[:200]}")
    return Path(origin, done.stdout.strip()).resolve()


def experiment_command(overrides: list[str], arguments: list[str]) -> list[str]:
    """The command that makes an experiment in a clone: overrides as of `--set-param`, arguments of `dvc repro`."""
    return [sys.executable, "-P", "-c", EXPERIMENT, *overrides, "--", *arguments]


def push_experiment(clone: Path, commit: str, name: str) -> None:
    """Give the clone's state to the checkout that it was made from, as an experiment on a commit."""
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--no-verify", "--allow-empty", "--message", f"dvc: commit experiment {name}")
    git(clone, "push", "--quiet", "--force", "origin", f"HEAD:refs/exps/{commit[:2]}/{commit[2:]}/{name}")


def git(folder: Path, *arguments: str) -> str:
    """Output of a git command in a checkout; UserError with its complaint."""
    environment = {"EMAIL": f"{getpass.getuser()}@localhost", **os.environ}  # where git knows no other
    done = subprocess.run(
        ["git", *arguments], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise UserError(f"{folder}: git {arguments[0]}: {done.stderr.strip()[-300:] or 'failed'}")
    return done.stdout.rstrip("\n")
