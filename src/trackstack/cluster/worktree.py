"""A run's source and data in a folder of their own, to look at or to go on from."""

from __future__ import annotations

from pathlib import Path

from trackstack import UserError
from trackstack.cluster.clones import DVC, cache_folder, write_local_config
from trackstack.records.query import find_run
from trackstack.records.source import source_commit
from trackstack.system.git import git
from trackstack.system.programs import run_program


def checkout_run(key: str, home: Path, root: Path, folder: Path) -> str:
    """Make a git worktree of the commit that keeps a run's source, with its data; returns the commit.

    Raises:
        UserError: no such run, no commit of it in this repository, or the folder exists.
    """
    series = find_run(home, key).series
    commit = source_commit(series, root)
    if folder.exists():
        raise UserError(f"{folder}: is there already; expected a new folder for the worktree")
    git(root, "worktree", "add", "--quiet", "--detach", str(folder.absolute()), commit)
    write_local_config(root, folder, cache_folder(root))
    done = run_program([*DVC, "checkout", "--quiet", "--allow-missing"], cwd=folder)
    if done.returncode:
        raise UserError(f"{folder}: dvc checkout: {' '.join(done.stderr.split())[:200]}")
    return commit
