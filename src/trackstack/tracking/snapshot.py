"""Keep the exact source of a run, uncommitted edits included, as a commit under `refs/trackstack/`."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from trackstack import UserError
from trackstack.system.git import git, try_git

MAX_BYTES = 1_000_000
"""Of a file that git does not know: what is larger is data, not source."""
AUTHOR = {
    "GIT_AUTHOR_NAME": "trackstack",
    "GIT_AUTHOR_EMAIL": "trackstack@localhost",
    "GIT_COMMITTER_NAME": "trackstack",
    "GIT_COMMITTER_EMAIL": "trackstack@localhost",
}


def keep_source(run: str, home: Path) -> str | None:
    """Commit the working tree aside, without touching index or branch; return the commit.

    None where this is no git repository, one without a commit, or one that cannot be written. In a temporary
    workspace of DVC the commit is handed on to the checkout at `home`, which outlives it.
    """
    here, ref = Path(), f"refs/trackstack/{run}"
    try:
        git(here, "rev-parse", "--verify", "HEAD")
        top, index = git(here, "rev-parse", "--show-toplevel"), git(here, "rev-parse", "--git-path", "index")
        with tempfile.TemporaryDirectory() as folder:
            tree = _write_tree(Path(top), Path(index).absolute(), Path(folder, "index"))
        commit = git(here, "commit-tree", tree, "-p", "HEAD", "-m", f"Source of run {run}", env=AUTHOR)
        git(here, "update-ref", ref, commit)
    except UserError:
        return None
    if here.resolve() != home.resolve():
        try_git(here, "push", "--quiet", "--force", str(home), f"{ref}:{ref}")
    return commit


def _write_tree(top: Path, index: Path, own_index: Path) -> str:
    """Add what git tracks, as it lies there, and new files; the copied index knows what they are."""
    env = {"GIT_INDEX_FILE": str(own_index)}
    if index.exists():
        shutil.copyfile(index, own_index)
        # An index of this time makes git read every file: by its time it takes one for unchanged that was edited in
        # the second of its checkout, as dvc exp run --set-param does.
        os.utime(own_index, (1, 1))
    else:
        git(top, "read-tree", "HEAD", env=env)
    try_git(top, "add", "--update", env=env)  # a file that cannot be read stays as it was committed
    new = git(top, "ls-files", "-z", "--others", "--exclude-standard", env=env).split("\0")
    small = [name for name in new if (top / name).is_file() and (top / name).lstat().st_size <= MAX_BYTES]
    try_git(top, "update-index", "-z", "--add", "--stdin", env=env, stdin="\0".join(small))
    return git(top, "write-tree", env=env)
