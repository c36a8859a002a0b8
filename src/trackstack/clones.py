"""A clone of its own for each experiment: several `dvc exp run` in one checkout fail on its lock.

Git shares the objects (`git clone --shared`), DVC the cache, and the experiment's ref is pushed back to the
checkout that the clone was made from.
"""

from __future__ import annotations

import configparser
import contextlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError

DVC = [sys.executable, "-P", "-m", "dvc"]


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


def experiment_command(name: str, overrides: list[str], allow_missing: bool) -> list[str]:
    """The command that makes one experiment in a clone; DVC links from its cache what is there.

    Args:
        overrides: as `dvc exp run --set-param` takes them.
        allow_missing: whether what is not there, and whose stages stay as they are, is done without.
    """
    changes = [part for override in overrides for part in ("--set-param", override)]
    allow = ["--allow-missing"] if allow_missing else []
    return [*DVC, "exp", "run", *allow, "--name", name, *changes]


def push_experiment(clone: Path, name: str) -> None:
    """Give the experiment to the checkout that the clone was made from."""
    refs = git(clone, "for-each-ref", "--format=%(refname)", "refs/exps").split()
    ref = next((ref for ref in refs if ref.endswith(f"/{name}")), None)
    if ref is None:
        raise UserError(f"{clone}: dvc exp run ended well, but made no experiment {name}")
    git(clone, "push", "--quiet", "--force", "origin", f"{ref}:{ref}")


def git(folder: Path, *arguments: str) -> str:
    """Output of a git command in a checkout; UserError with its complaint."""
    done = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        raise UserError(f"{folder}: git {arguments[0]}: {done.stderr.strip()[-300:] or 'failed'}")
    return done.stdout.rstrip("\n")
