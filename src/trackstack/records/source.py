"""The exact source of a run, which git keeps as a commit."""

from __future__ import annotations

from pathlib import Path

from trackstack import UserError
from trackstack.system.git import try_git
from trackstack.tracking.sinks import Series


def source_commit(series: Series, root: Path) -> str:
    """The commit that holds a run's source, uncommitted edits included.

    Raises:
        UserError: none was kept, or git does not have it here.
    """
    tags = series.start["tags"]
    commit = tags.get("source") or (tags.get("git_commit") if tags.get("git_dirty") != "true" else None)
    if commit is None:
        raise UserError(
            f"{series.key}: its source was not kept; it was recorded outside of git, before the first commit, or in "
            "a repository that cannot be written: commit, and run it again"
        )
    if try_git(root, "cat-file", "-t", commit) != "commit":
        raise UserError(
            f"{series.key}: git has no commit {commit[:12]} here, which keeps its source; "
            f"type: trackstack pull {series.key}"
        )
    return commit
