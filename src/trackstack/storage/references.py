"""Which DVC objects git's refs and the checkouts around a cache name, and who names them."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from trackstack import UserError
from trackstack.core.dvc_yaml import DVC_LOCK, DVC_YAML
from trackstack.records.rebuild import locked_stages_of
from trackstack.sharing.record import EXPERIMENT, SharedObject
from trackstack.sharing.refs import RECORDS, SOURCES
from trackstack.sharing.transfer import open_repository, outputs_of
from trackstack.system.git import git, git_bytes, try_git

HASHES = ("md5", "md5-dos2unix")
COMMIT_OF_REF = (
    "%(if)%(*objecttype)%(then)%(*objecttype) %(*objectname)%(else)%(objecttype) %(objectname)%(end) %(refname)"
)


class Needed(NamedTuple):
    """A file or folder that is needed."""

    item: SharedObject
    by: str
    """Such as `branch main`, `run r0123456789ab` or `the working tree`."""
    is_here: bool = True
    """Whether a working tree or a run of this home needs it: what only git names was perhaps never in this cache."""


def refs_of(root: Path) -> dict[str, str]:
    """The commit of each ref, of each stash entry and of each worktree's HEAD; DVC's queue is stashes, too."""
    form = (
        "%(if)%(*objecttype)%(then)%(*objecttype) %(*objectname)%(else)%(objecttype) %(objectname)%(end) %(refname)"
    )
    lines = [line.split(" ", 2) for line in git(root, "for-each-ref", f"--format={form}").splitlines()]
    found = {ref: commit for kind, commit, ref in lines if kind == "commit"}
    for ref in [
        ref for ref in found if ref == "refs/stash" or (ref.startswith("refs/exps/") and not is_experiment(ref))
    ]:
        for number, commits in enumerate((try_git(root, "log", "-g", "--format=%H %P", ref) or "").splitlines()):
            found |= {f"{ref}@{{{number}}}^{place}": commit for place, commit in enumerate(commits.split())}
    for block in git(root, "worktree", "list", "--porcelain").split("\n\n"):
        lines_of = dict(line.partition(" ")[::2] for line in block.splitlines())
        if (commit := lines_of.get("HEAD")) and set(commit) != {"0"}:
            found[f"HEAD of {lines_of['worktree']}"] = commit
    return found


def is_experiment(ref: str) -> bool:
    """Whether a ref is a DVC experiment, and not a part of its queue."""
    return EXPERIMENT.fullmatch(ref) is not None


def name_of(ref: str) -> str:
    """A ref as people say it."""
    kinds = {"refs/heads/": "branch", "refs/remotes/": "branch", "refs/tags/": "tag", "refs/exps/": "experiment"}
    for prefix, kind in kinds.items():
        if ref.startswith(prefix):
            short = ref.rpartition("/")[2] if kind == "experiment" else ref.removeprefix(prefix)
            return f"{kind} {short}"
    return ref


def locks_of(root: Path, refs: dict[str, str]) -> dict[str, dict[str, dict[str, Any]]]:
    """The entries of dvc.lock at each ref, by their stages' addresses.

    Raises:
        UserError: a dvc.lock cannot be read, so that nobody knows what its branch needs.
    """
    by_commit: dict[str, dict[str, dict[str, Any]]] = {}
    for ref, commit in refs.items():
        try:
            if commit not in by_commit:
                by_commit[commit] = dict(locked_stages_of(commit, root))
        except (yaml.YAMLError, AttributeError, TypeError, KeyError) as error:
            reason = " ".join(str(error).split())[:120]
            raise UserError(f"{name_of(ref)}: its dvc.lock cannot be read: {reason}") from None
    return {ref: by_commit[commit] for ref, commit in refs.items()}


def named_by_refs(root: Path, refs: dict[str, str]) -> Iterator[Needed]:
    """What dvc.lock has at each of these refs, and what `.dvc` files have in any commit that leads to them.

    Data that a `.dvc` file tracks can be made by nobody, so that the history of a branch needs it, too; what stages
    put out is needed at the refs themselves.
    """
    files: dict[str, frozenset[str]] = {}
    seen: set[tuple[str, str]] = set()
    tips = {ref: commit for ref, commit in refs.items() if not ref.startswith((RECORDS, SOURCES))}
    for ref, lock in locks_of(root, _with_different_locks(root, tips, files)).items():
        for entry in (out for stage in lock.values() for out in stage.get("outs", []) if "md5" in out):
            item = _item(entry, entry["path"])
            if (item.path, item.md5) not in seen and not _has(files[refs[ref]], item.path):
                seen.add((item.path, item.md5))
                yield Needed(item, name_of(ref), is_here=False)
    others = {ref: commit for ref, commit in refs.items() if not ref.startswith(RECORDS)}
    yield from _named_by_pointers(root, others)


def _with_different_locks(root: Path, refs: dict[str, str], files: dict[str, frozenset[str]]) -> dict[str, str]:
    """Those of the refs whose dvc.lock or dvc.yaml files differ from those of the refs before them."""
    known: dict[frozenset[str], str] = {}
    for ref, commit in refs.items():
        listing = git(root, "ls-tree", "-r", "-z", commit).split("\0")
        files[commit] = frozenset(line.partition("\t")[2] for line in listing)
        dvc = frozenset(line for line in listing if PurePosixPath(line).name.endswith((DVC_LOCK, DVC_YAML)))
        known.setdefault(dvc, ref)
    return {ref: refs[ref] for ref in known.values()}


def _has(files: frozenset[str], path: str) -> bool:
    """Whether git itself has an output."""
    return path in files or any(file.startswith(f"{path}/") for file in files)


def _named_by_pointers(root: Path, refs: dict[str, str]) -> Iterator[Needed]:
    if not refs:
        return
    listing = git(
        root,
        *("log", "--stdin", "--raw", "--no-abbrev", "--no-renames", "-m", "--root", "--relative", "-z"),
        *("--format=", "--", "*.dvc"),
        stdin="\n".join([*dict.fromkeys(refs.values()), ""]),
    )
    parts = [part.lstrip("\n") for part in listing.split("\0")]
    blobs = {(line.split()[3], path) for line, path in itertools.pairwise(parts) if line.startswith(":")}
    for blob, path in sorted(blobs):
        if set(blob) == {"0"}:  # it was removed
            continue
        try:
            content = yaml.safe_load(git_bytes(root, "cat-file", "blob", blob)) or {}
            folder = PurePosixPath(path).parent / content.get("wdir", ".")
            for entry in content.get("outs", []):
                if "md5" in entry and entry.get("cache", True):
                    item = _item(entry, (folder / entry["path"]).as_posix())
                    yield Needed(item, f"{path}, in git's history", is_here=False)
        except (yaml.YAMLError, AttributeError, TypeError, KeyError):
            continue  # one that DVC could not read either


def named_by_checkout(checkout: Path, by: str) -> list[Needed]:
    """What the files of DVC in a working tree name; UserError where DVC cannot read them."""
    with open_repository(checkout) as repo:
        found = []
        for path, out in outputs_of(repo).items():
            if out.use_cache and out.hash_info and out.hash_info.name in HASHES:
                item = SharedObject(path=path, md5=out.hash_info.value, hash=out.hash_info.name, remote=out.remote)
                found.append(Needed(item, by))
        return found


def checkouts_around(root: Path, home: Path) -> list[Path]:
    """The worktrees and clones that use the same cache as a checkout, and that we know of: without itself."""
    worktrees = [
        Path(line.removeprefix("worktree "))
        for line in git(root, "worktree", "list", "--porcelain").splitlines()
        if line.startswith("worktree ")
    ]
    subfolder = git(root, "rev-parse", "--show-prefix")
    patterns = (".sweeps/*/base", ".sweeps/*/work/*", ".jobs/*/clone", ".reproductions/*/repository")
    clones = [clone for pattern in patterns for clone in sorted((home / "runs").glob(pattern))]
    clones += sorted((root / ".dvc/tmp/exps").glob("*/"))
    places = [place / subfolder for place in (*worktrees, *clones)]
    return [place for place in places if (place / ".dvc").is_dir() and not place.samefile(root)]


def _item(entry: dict[str, Any], path: str) -> SharedObject:
    return SharedObject(
        path=path, md5=entry["md5"], hash=entry.get("hash", "md5-dos2unix"), remote=entry.get("remote")
    )


def items_of(entries: Iterable[dict[str, Any]]) -> list[SharedObject]:
    """Entries of dvc.lock or of a run's record, those that have a hash of DVC's."""
    return [_item(entry, entry["path"]) for entry in entries if entry.get("md5")]
