"""Git's part of sharing: a record is a commit under `refs/trackstack-records/RUN`; its parents are what it needs.

The parents are the record before it, the run's source commits and its experiments, so that one ref carries all of
them, and a fetch brings all or nothing.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.files import CHECKSUM, sealed
from trackstack.sharing.merging import Content, Files, content_of
from trackstack.sharing.record import Record, check_journals, checked_record, refused
from trackstack.system.git import git, git_blobs, git_bytes, try_git
from trackstack.tracking.snapshot import AUTHOR

RECORDS, SOURCES, EXPERIMENTS = "refs/trackstack-records/", "refs/trackstack/", "refs/exps/"
DESCRIPTION, FILES = "record.json", "files/"


def choose_remote(root: Path, name: str | None) -> str:
    """The git remote of this name; else `origin`, or the only one.

    Raises:
        UserError: there is none of that name, or none at all, or none of several is `origin`.
    """
    remotes = git(root, "remote").split()
    if name is not None and name not in remotes:
        known = f"; there are: {', '.join(remotes)}" if remotes else ""
        raise UserError(f"--git-remote {name}: git has no such remote{known}")
    if not remotes:
        raise UserError("git has no remote to share runs by; type: git remote add origin ADDRESS")
    if name is None and "origin" not in remotes and len(remotes) > 1:
        raise UserError(f"git has the remotes {', '.join(remotes)}; type --git-remote and one of them")
    return name or ("origin" if "origin" in remotes else remotes[0])


def refs_at(root: Path, remote: str) -> dict[str, str]:
    """The commit of each ref of runs and experiments at a remote."""
    patterns = [f"{prefix}*" for prefix in (RECORDS, SOURCES, EXPERIMENTS)]
    lines = git(root, "ls-remote", remote, *patterns).splitlines()
    return {ref: commit for commit, _, ref in (line.partition("\t") for line in lines)}


def fetch_refs(root: Path, remote: str, refs: Iterable[str]) -> None:
    """Bring what these refs of a remote lead to; no ref here changes."""
    if names := sorted(refs):
        git(root, "fetch", "--quiet", "--no-tags", remote, *names)


def refs_here(root: Path) -> dict[str, str]:
    """The commit of each ref of runs and experiments in this repository."""
    lines = git(root, "for-each-ref", "--format=%(objectname) %(refname)", RECORDS, SOURCES, EXPERIMENTS).splitlines()
    return {ref: commit for commit, _, ref in (line.partition(" ") for line in lines)}


def has_commit(root: Path, commit: str | None) -> bool:
    """Whether this repository has a commit."""
    return bool(commit) and try_git(root, "cat-file", "-t", str(commit)) == "commit"


def write_record(root: Path, record: Record, files: Files, parents: list[str], message: str) -> str:
    """Make the commit of a record; no ref changes."""
    text = json.dumps(sealed(record.model_dump(exclude_none=False)), indent=1, sort_keys=True) + "\n"
    contents = {DESCRIPTION: text.encode()} | {
        f"{FILES}{name}": content.data for name, content in files.items() if content.data is not None
    }
    lines = []
    for path, data in sorted(contents.items()):
        blob = git_bytes(root, "hash-object", "-w", "--stdin", stdin=data).decode().strip()
        lines.append(f"100644 {blob}\t{path}\0")
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git(root, "update-index", "-z", "--index-info", env=env, stdin="".join(lines))
        tree = git(root, "write-tree", env=env)
    options = [option for parent in dict.fromkeys(parents) for option in ("-p", parent)]
    return git(root, "commit-tree", tree, *options, "-m", message, env=AUTHOR)


def read_record(root: Path, run: str, commit: str) -> tuple[Record, Files]:
    """The record in a commit, each file compared with its digest; large files are without data.

    Raises:
        UserError: it is not what `trackstack push` writes, or not of this run.
    """
    blobs = _blobs(root, run, commit)
    contents = git_blobs(root, blobs.values())
    try:
        value: Any = json.loads(contents[blobs.pop(DESCRIPTION)])
        if value.pop(CHECKSUM) != digest_json(value)[:12]:
            raise ValueError
    except (ValueError, AttributeError, KeyError):
        raise refused(run, f"{DESCRIPTION} is not what was written") from None
    record = checked_record(run, value)
    files: Files = {}
    for name, file in record.files.items():
        if file.md5:
            files[name] = Content(file.sha256, file.size, md5=file.md5)
            continue
        if (blob := blobs.pop(f"{FILES}{name}", None)) is None:
            raise refused(run, f"{name} is not in it")
        files[name] = content_of(contents[blob])
        if files[name].sha256 != file.sha256:
            raise refused(run, f"{name} is not what its digest says")
    if blobs:
        raise refused(run, f"{min(blobs)} is not in its description")
    known = set(git(root, "show", "-s", "--format=%P", commit).split())
    if strange := [one for one in (record.source, *record.experiments.values()) if one and one not in known]:
        raise refused(run, f"commit {strange[0][:10]} does not come with it")
    check_journals(run, files, root)
    return record, files


def last_files(root: Path, run: str, commit: str | None) -> Files:
    """The files that both sides had last; none where that is not known: then two changes are kept side by side."""
    try:
        return read_record(root, run, commit)[1] if commit else {}
    except UserError:
        return {}


def _blobs(root: Path, run: str, commit: str) -> dict[str, str]:
    """The plain files of a commit; anything else, such as a link, is refused."""
    blobs = {}
    for line in filter(None, git(root, "ls-tree", "-r", "-z", "--full-tree", commit).split("\0")):
        mode, _, rest = line.partition(" ")
        _, blob = rest.partition("\t")[0].split()
        name = line.partition("\t")[2]
        if mode != "100644":
            raise refused(run, f"{name!r} is a link or a program")
        blobs[name] = blob
    return blobs
