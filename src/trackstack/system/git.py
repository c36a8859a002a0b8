"""Git's commands as functions: the only place that starts git."""

from __future__ import annotations

import getpass
import os
import subprocess
from pathlib import Path

from trackstack import UserError


def git(folder: Path, *arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> str:
    """Output of a git command in a folder, without the line end behind it.

    Args:
        env: variables added to those of this process.

    Raises:
        UserError: git's complaint, in one line; no such folder; or git is not installed.
    """
    # A commit needs somebody: this address holds where git knows no other.
    environment = {"EMAIL": f"{getpass.getuser()}@localhost", **os.environ, **(env or {})}
    try:
        done = subprocess.run(
            ["git", *arguments],
            cwd=folder,
            env=environment,
            input=os.fsencode(stdin),
            capture_output=True,
            check=False,
        )
    except FileNotFoundError as error:
        if error.filename == "git":
            raise UserError("git: not found; install it, or load its module (module load git)") from None
        raise UserError(f"{folder}: no such folder") from None
    if done.returncode:
        complaint = " ".join(os.fsdecode(done.stderr).split())[-300:] or "failed"
        raise UserError(f"{folder}: git {arguments[0]}: {complaint}")
    return os.fsdecode(done.stdout).rstrip("\n")  # names of files are bytes: those that are no text survive


def try_git(folder: Path, *arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> str | None:
    """As `git`, but None where that raises: for what is recorded only where there is a repository."""
    try:
        return git(folder, *arguments, env=env, stdin=stdin)
    except UserError:
        return None
