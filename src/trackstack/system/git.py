"""Git's commands as functions: the only place that starts git, without what a person set for their own use of it."""

from __future__ import annotations

import errno
import getpass
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

from trackstack import UserError
from trackstack.system.room import MAKE_ROOM, says_no_room

OUTER_VARIABLES = (
    *("GIT_ALTERNATE_OBJECT_DIRECTORIES", "GIT_CONFIG", "GIT_CONFIG_PARAMETERS", "GIT_OBJECT_DIRECTORY", "GIT_DIR"),
    *("GIT_WORK_TREE", "GIT_IMPLICIT_WORK_TREE", "GIT_GRAFT_FILE", "GIT_INDEX_FILE", "GIT_NO_REPLACE_OBJECTS"),
    *("GIT_REPLACE_REF_BASE", "GIT_PREFIX", "GIT_SHALLOW_FILE", "GIT_COMMON_DIR", "GIT_INTERNAL_SUPER_PREFIX"),
    *("GIT_NAMESPACE", "GIT_LITERAL_PATHSPECS", "GIT_GLOB_PATHSPECS", "GIT_NOGLOB_PATHSPECS", "GIT_ICASE_PATHSPECS"),
    *("GIT_DEFAULT_HASH", "GIT_DEFAULT_REF_FORMAT", "GIT_TEMPLATE_DIR", "GIT_EXTERNAL_DIFF", "GIT_DIFF_OPTS"),
)
"""`git rev-parse --local-env-vars`: git sets them in hooks and aliases, where they name another repository than that
of the working directory. Only `GIT_CONFIG_COUNT` stays, by which containers say which folders are safe. Behind them
stand a person's own: an experiment in a namespace is not found, a pattern that is taken literally fits no file."""
SETTINGS = {
    "core.hooksPath": os.devnull,
    "core.fsmonitor": "false",
    "core.autocrlf": "false",
    "core.quotePath": "true",
    "color.ui": "false",
    "commit.gpgSign": "false",
    "commit.template": os.devnull,
    "log.showSignature": "false",
    "push.gpgSign": "false",
    "push.followTags": "false",
    "push.recurseSubmodules": "no",
    "submodule.recurse": "false",
    "clone.defaultRemoteName": "origin",
    "init.templateDir": "",
    "protocol.file.allow": "always",
    "gc.auto": "0",
    "maintenance.auto": "false",
}
"""What holds for our commands, whatever the person's configuration: signing asks for a passphrase, hooks refuse or
edit, and other line ends are other files."""


forgotten: list[str] = []
"""The variables that `forget_outer_repository` has found, for the doctor to name."""


def forget_outer_repository() -> None:
    """Take out of this process's environment, and so out of that of all it starts, which repository git works on."""
    forgotten.extend(name for name in OUTER_VARIABLES if os.environ.pop(name, None) is not None)


def git(folder: Path, *arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> str:
    """Output of a git command in a folder, without the line end behind it.

    Args:
        env: variables added to those of this process.

    Raises:
        UserError: git's complaint, in one line; no such folder; or git is not installed.
    """
    output = git_bytes(folder, *arguments, env=env, stdin=os.fsencode(stdin))
    return os.fsdecode(output).rstrip("\n")  # names of files are bytes: those that are no text survive


def git_bytes(folder: Path, *arguments: str, env: dict[str, str] | None = None, stdin: bytes = b"") -> bytes:
    """As `git`, for what is a file's content: input and output are bytes, and nothing is left out."""
    environment = _environment() | (env or {})
    try:
        done = subprocess.run(
            ["git", *arguments], cwd=folder, env=environment, input=stdin, capture_output=True, check=False
        )
    except FileNotFoundError as error:
        if error.filename == "git":
            raise UserError("git: not found; install it, or load its module (module load git)") from None
        raise UserError(f"{folder}: no such folder") from None
    if done.returncode:
        complaint = " ".join(os.fsdecode(done.stderr).split())
        if says_no_room(complaint):  # a line for each file that it could not write
            raise UserError(f"{folder}: git {arguments[0]}: {os.strerror(errno.ENOSPC)}; {MAKE_ROOM}")
        complaint = complaint[-300:] or "failed"
        raise UserError(f"{folder}: git {arguments[0]}: {complaint}")
    return done.stdout


def git_blobs(folder: Path, blobs: Iterable[str]) -> dict[str, bytes]:
    """The bytes of files that git has, by the names of their blobs: by one process, however many they are.

    Raises:
        UserError: git does not have one of them.
    """
    names = sorted(set(blobs))
    output = git_bytes(folder, "cat-file", "--batch", stdin="".join(f"{name}\n" for name in names).encode())
    contents, place = {}, 0
    for name in names:
        begin = output.index(b"\n", place) + 1
        heading = output[place:begin].split()  # NAME blob SIZE
        if len(heading) != 3 or heading[1] != b"blob":
            raise UserError(f"{folder}: git does not have {name[:12]}, which a commit names; type: git fsck")
        size = int(heading[2])
        contents[name] = output[begin : begin + size]
        place = begin + size + 1
    return contents


def try_git(folder: Path, *arguments: str, env: dict[str, str] | None = None, stdin: str = "") -> str | None:
    """As `git`, but None where that raises: for what is recorded only where there is a repository."""
    try:
        return git(folder, *arguments, env=env, stdin=stdin)
    except UserError:
        return None


def is_in_git(folder: Path) -> bool:
    """Whether a folder lies in a git repository; UserError where there is no git to ask."""
    try:
        git(folder, "rev-parse", "--git-dir")
    except UserError:
        if shutil.which("git") is None:
            raise
        return False
    return True


def user_name() -> str:
    """Who runs this; the number of a person that the machine has no name for, as in a container."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return f"uid{os.getuid()}"


def _environment() -> dict[str, str]:
    """Of this process, without variables that name a repository, and with `SETTINGS`."""
    kept = {name: value for name, value in os.environ.items() if name not in OUTER_VARIABLES}
    # A commit needs somebody: this address holds where git knows no other.
    kept.setdefault("EMAIL", f"{user_name()}@localhost")
    if "GIT_ALLOW_PROTOCOL" in kept:
        kept["GIT_ALLOW_PROTOCOL"] += ":file"  # clones of trials, which have this checkout for their origin
    first = int(kept.get("GIT_CONFIG_COUNT") or 0)
    for number, (key, value) in enumerate(SETTINGS.items(), first):
        kept |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    return kept | {"GIT_CONFIG_COUNT": str(first + len(SETTINGS)), "GIT_TERMINAL_PROMPT": "0"}
