"""Keep the exact source of a run, uncommitted edits included, as a commit under `refs/trackstack/`."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

MAX_BYTES = 1_000_000
"""Of a file that git does not know: what is larger is data, not source."""


def keep_source(run: str, home: Path) -> str | None:
    """Commit the working tree aside, without touching index or branch; return the commit.

    None where this is no git repository, or one without a commit. In a temporary workspace of DVC the commit is
    handed on to the checkout at `home`, which outlives it.
    """
    found = _git("rev-parse", "HEAD", "--show-toplevel", "--git-path", "index")
    if found is None:
        return None
    _, top, index = found.splitlines()
    with tempfile.TemporaryDirectory() as folder:
        tree = _write_tree(Path(top), Path(index).absolute(), Path(folder, "index"))
    if tree is None:
        return None
    commit = _git("commit-tree", tree, "-p", "HEAD", "-m", f"Source of run {run}", env=_author())
    ref = f"refs/trackstack/{run}"
    if commit is None or _git("update-ref", ref, commit) is None:
        return None
    if Path.cwd().resolve() != home.resolve():
        _git("push", "--quiet", "--force", str(home), f"{ref}:{ref}")
    return commit


def _write_tree(top: Path, index: Path, own_index: Path) -> str | None:
    """Add what git tracks, as it lies there, and new files; the copied index knows which files are unchanged."""
    env = {"GIT_INDEX_FILE": str(own_index)}
    if index.exists():
        shutil.copyfile(index, own_index)
    else:
        _git("read-tree", "HEAD", env=env, cwd=top)
    _git("add", "--update", env=env, cwd=top)
    new = (_git("ls-files", "-z", "--others", "--exclude-standard", env=env, cwd=top) or "").split("\0")
    small = [name for name in new if (top / name).is_file() and (top / name).lstat().st_size <= MAX_BYTES]
    _git("update-index", "-z", "--add", "--stdin", env=env, cwd=top, stdin="\0".join(small))
    return _git("write-tree", env=env, cwd=top)


def _author() -> dict[str, str]:
    # A commit needs somebody; a user who never told git who they are is no reason to lose the source.
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")
    return dict.fromkeys(names[0], "trackstack") | dict.fromkeys(names[1], "trackstack@localhost")


def _git(*arguments: str, env: dict[str, str] | None = None, cwd: Path | None = None, stdin: str = "") -> str | None:
    """Output of a git command; None when it failed or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            errors="surrogateescape",  # names of files are bytes
            check=False,
            env={**os.environ, **(env or {})},
            cwd=cwd,
            input=stdin,
        )
    except FileNotFoundError:
        return None
    return done.stdout.rstrip("\n") if done.returncode == 0 else None
