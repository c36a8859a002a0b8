"""Keep the exact source of a run, uncommitted edits included, as a commit under `refs/trackstack/`."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path


def keep_source(run: str, home: Path) -> str | None:
    """Commit the working tree aside, without touching index or branch; return the commit.

    None where this is no git repository, or one without a commit. In a temporary workspace of DVC the commit is
    handed on to the checkout at `home`, which outlives it.
    """
    if _git("rev-parse", "HEAD") is None:
        return None
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": str(Path(folder) / "index")}
        _git("read-tree", "HEAD", env=index)
        _git("add", "--all", env=index)
        tree = _git("write-tree", env=index)
    if tree is None:
        return None
    commit = _git("commit-tree", tree, "-p", "HEAD", "-m", f"Source of run {run}", env=_author())
    ref = f"refs/trackstack/{run}"
    if commit is None or _git("update-ref", ref, commit) is None:
        return None
    if Path.cwd().resolve() != home.resolve():
        _git("push", "--quiet", "--force", str(home), f"{ref}:{ref}")
    return commit


def _author() -> dict[str, str]:
    # A commit needs somebody; a user who never told git who they are is no reason to lose the source.
    names = ("GIT_AUTHOR_NAME", "GIT_COMMITTER_NAME"), ("GIT_AUTHOR_EMAIL", "GIT_COMMITTER_EMAIL")
    return dict.fromkeys(names[0], "trackstack") | dict.fromkeys(names[1], "trackstack@localhost")


def _git(*arguments: str, env: dict[str, str] | None = None) -> str | None:
    """Output of a git command; None when it failed or there is no git."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            check=False,
            env={**os.environ, **(env or {})},
        )
    except FileNotFoundError:
        return None
    return done.stdout.strip() if done.returncode == 0 else None
