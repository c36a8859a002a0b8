"""A clone of its own for each experiment: several `dvc exp run` in one checkout fail on its lock.

Git shares the objects (`git clone --shared`), DVC the cache, and the experiment is pushed back to the checkout that
the clone was made from: as DVC keeps experiments, a commit under `refs/exps/` and its baseline.
"""

from __future__ import annotations

import contextlib
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError
from trackstack.system.git import git, try_git
from trackstack.system.programs import run_program
from trackstack.system.project import refuse_unusable_folder

DVC = [sys.executable, "-P", "-m", "dvc"]
EXPERIMENT = [sys.executable, "-P", "-m", "trackstack.cluster.experiment"]


def own_code(checkout: Path) -> dict[str, str]:
    """The variable that makes a checkout of trackstack run its own code; empty for any other repository."""
    src = checkout / "src"
    return {"PYTHONPATH": str(src)} if (src / "trackstack").is_dir() else {}


def experiment_name(prefix: str, identity: object) -> str:
    """A name that git and DVC accept, unique for what it stands for."""
    from trackstack.core.digest import digest_json  # imports numpy, which a trial's task does without

    safe = re.sub(r"[^A-Za-z0-9_-]+", "-", prefix).strip("-")
    return f"{safe}-{digest_json(identity)[:6]}"


@contextlib.contextmanager
def pinned_clone(origin: Path, commit: str, folder: Path, cache: Path) -> Iterator[Path]:
    """A clone at a commit that shares `origin`'s objects and DVC's cache, removed at the end; see `make_clone`."""
    try:
        yield make_clone(origin, commit, folder, cache)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_clone(origin: Path, commit: str, folder: Path, cache: Path) -> Path:
    """Make the clone, in the place of what an attempt that was killed has left there.

    Returns:
        What `origin` is in the clone: its root, or a folder in it where the DVC repository is one of a larger git
        repository.

    Raises:
        UserError: `origin` is not the root of a DVC repository in git.
    """
    refuse_unusable_folder(folder)
    subfolder = folder_in_git(origin)
    top = git(origin, "rev-parse", "--show-toplevel")
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    git(folder.parent, "clone", "--quiet", "--shared", "--no-checkout", top, str(folder))
    if try_git(folder, "cat-file", "-e", commit) is None:  # objects of a shallow repository are not shared
        git(folder, "fetch", "--quiet", "--no-tags", "origin", commit)
    git(folder, "checkout", "--quiet", "--detach", commit)
    # Neither must become part of an experiment where the repository does not ignore them.
    (folder / ".git/info").mkdir(exist_ok=True)
    (folder / ".git/info/exclude").write_text("__pycache__/\n**/.dvc/config.local\n")
    if not (folder / subfolder / ".dvc").is_dir():
        raise UserError(f"{origin}: commit {commit[:12]} has no .dvc here; git add .dvc and commit")
    write_local_config(origin, folder / subfolder, cache)
    return folder / subfolder


def folder_in_git(root: Path) -> Path:
    """Where in its git repository a DVC repository lies; UserError unless this is the root of one, in git."""
    refuse_unusable_folder(root)
    if "\n" in str(root.absolute()):
        raise UserError(f"{str(root.absolute())!r}: git shares no objects of a path with a line end; rename it")
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root}: no DVC repository; run this where .dvc lies, or make one: dvc init")
    return Path(git(root, "rev-parse", "--show-prefix"))


def present_commit(root: Path) -> str:
    """HEAD; UserError where there is no commit yet."""
    commit = try_git(root, "rev-parse", "--verify", "--quiet", "HEAD")
    if commit is None:
        folder_in_git(root)  # which says what else is wrong
        raise UserError(f"{root}: no commit yet; type: git add -A && git commit -m 'First commit'")
    return commit


def write_local_config(origin: Path, clone: Path, cache: Path) -> None:
    """Give the DVC of a clone or a worktree this person's remotes and credentials, and the checkout's cache."""
    from configobj import ConfigObj

    if "%(" in str(cache):
        raise UserError(f"{cache}: DVC takes the %( in this path for a variable of its own; rename that folder")
    root = origin.resolve()
    local = ConfigObj(str(clone / ".dvc/config.local"), interpolation=False, encoding="utf-8")
    for name in ("config", "config.local"):
        for section, values in ConfigObj(str(root / ".dvc" / name), interpolation=False, encoding="utf-8").items():
            if name == "config.local":
                local.setdefault(section, {}).update(values)
            url = str(values.get("url", ""))
            place = (root / ".dvc" / url).resolve()
            if section.startswith("remote ") and "://" not in url and not place.is_relative_to(root):
                local.setdefault(section, {})["url"] = str(place)  # a relative one leads elsewhere from the clone
    local.setdefault("cache", {})["dir"] = str(cache)
    # A look for a newer DVC is a process of its own, in every trial.
    local.setdefault("core", {})["check_update"] = "false"
    local.write()


def cache_folder(origin: Path) -> Path:
    """Where the checkout's DVC keeps its cache."""
    done = run_program([*DVC, "cache", "dir"], cwd=origin)
    if done.returncode:
        raise UserError(f"{origin}: dvc cache dir: {' '.join(done.stderr.split())[:200]}")
    return Path(origin, done.stdout.strip()).resolve()


def push_experiment(clone: Path, commit: str, name: str) -> None:
    """Give the clone's state to the checkout that it was made from, as an experiment on a commit."""
    git(clone, "add", "--all")
    git(clone, "commit", "--quiet", "--no-verify", "--allow-empty", "--message", f"dvc: commit experiment {name}")
    git(clone, "push", "--quiet", "--force", "origin", f"HEAD:refs/exps/{commit[:2]}/{commit[2:]}/{name}")
