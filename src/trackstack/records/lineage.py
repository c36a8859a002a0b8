"""From a run back to its raw files: what DVC recorded of everything upstream, verified where it lies now.

What a run came from need not be checked out. Each file or folder is looked for in the workspace, then in DVC's cache,
then in git, in the commit that keeps the run's source; only what none of them has is missing.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack.core.digest import digest_path
from trackstack.records.query import find_run, read_run
from trackstack.system.git import try_git
from trackstack.tracking.sinks import Series

DVC, MATCHES, NOT_RECORDED = "DVC", "matches", "not recorded"


class Link(NamedTuple):
    """One thing that a run came from."""

    what: str
    """Such as `data`, `source code`, `train: output`, `commit`."""
    where: str
    identity: str
    """Digest, commit or name, as the record has it."""
    verdict: str
    """`matches`, with the place where it was found unless that is the workspace; or what is wrong."""

    @property
    def is_good(self) -> bool:
        """Whether it was verified, or never recorded."""
        return self.verdict.startswith(MATCHES) or self.verdict == NOT_RECORDED


def lineage(key: str, home: Path, root: Path) -> Iterator[Link]:
    """The links of a run: its kept model, all that DVC recorded upstream of it, source, commit, DVC experiment.

    Args:
        key: the run's id, the beginning of it, or its name.
        root: the DVC repository in which to look.

    Raises:
        UserError: no such run.
    """
    series = find_run(home, key).series
    tags = series.start["tags"]
    for place, _, reason in (text.partition(": ") for text in read_run(series.folder).damage):
        yield Link("journal", place, "", reason)
    for record in series.artifacts:
        if record["kind"] == "model":
            yield _kept_model(series, record)
    items, problem = recorded_items(series.upstream)
    if items:
        try:
            yield from list(_verified(items, root, tags.get("source") or tags.get("git_commit")))
        except Exception as error:  # DVC and its databases raise classes of many packages
            reason = str(error).strip().partition("\n")[0] or type(error).__name__
            yield Link("upstream", DVC, "", f"DVC cannot look: {reason}")
    else:
        yield Link("upstream", DVC, "", problem or NOT_RECORDED)
    yield _commit("source", root, tags.get("source"))
    yield _commit("commit" if tags.get("git_dirty") != "true" else "commit (edited)", root, tags.get("git_commit"))
    if "dvc_exp" in tags:
        names = (try_git(root, "for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps") or "").splitlines()
        known = tags["dvc_exp"] in names
        yield Link("experiment", DVC, tags["dvc_exp"], MATCHES if known else "missing: dvc exp list has it no more")


class Item(NamedTuple):
    """A file or folder with the hash that DVC has of it."""

    what: str
    path: str
    """From the root of the DVC repository."""
    algorithm: str
    value: str


def recorded_items(upstream: list[dict[str, Any]]) -> tuple[list[Item], str | None]:
    """What the attempts at a run were made from, each path and hash once; and the reason if that is not known."""
    items: dict[tuple[str, str], Item] = {}
    for record in upstream:
        for data in record.get("data", []):
            _add(items, "data", data)
        for address, entry in record.get("stages", {}).items():
            for kind, entries in (("output", entry.get("outs", [])), ("dependency", entry.get("deps", []))):
                for item in entries:
                    _add(items, f"{address}: {kind}", item)
    problems = [record["problem"] for record in upstream if "problem" in record]
    return list(items.values()), problems[0] if problems else None


def _add(items: dict[tuple[str, str], Item], what: str, entry: dict[str, Any]) -> None:
    if value := entry.get("md5"):  # a database or a bucket has none
        # Before DVC 3 text was hashed with its line ends changed, and the entry does not name its hash.
        item = Item(what, entry["path"], entry.get("hash", "md5-dos2unix"), value)
        items.setdefault((item.path, item.value), item)


def _verified(items: list[Item], root: Path, commit: str | None) -> Iterator[Link]:
    from dvc.repo import Repo  # half a second to import
    from dvc_data.hashfile.state import StateNoop

    with Repo(str(root)) as repo:
        for cache in (repo.cache.local, repo.cache.legacy):
            cache.state = StateNoop()  # DVC's note of hashes knows nothing of what a disk does to a file
        verdicts = {item: _here_or_in_cache(repo, item) for item in items}
    missing = [item for item, verdict in verdicts.items() if verdict is None]
    # The commit that keeps the run's source holds what git tracked, and small new files.
    if missing and commit and try_git(root, "cat-file", "-t", commit) == "commit":
        with Repo(str(root)) as repo, repo.switch(commit):  # also where it is a folder of a larger git repository
            verdicts |= {item: f"{MATCHES}, in git" for item in missing if hash_of(repo, item) == item.value}
    for item, verdict in verdicts.items():
        wrong = f"missing: not here, in DVC's cache or in git; dvc pull {item.path} may bring it"
        yield Link(item.what, item.path, item.value, verdict or wrong)


def _here_or_in_cache(repo: Any, item: Item) -> str | None:
    if hash_of(repo, item) == item.value:
        return MATCHES
    cache = repo.cache.local if item.algorithm == "md5" else repo.cache.legacy
    return f"{MATCHES}, in DVC's cache" if _is_whole(cache, item.value) else None


def hash_of(repo: Any, item: Item) -> str | None:
    """What DVC would record of a path now; None where there is nothing, or where it cannot be read."""
    from dvc_data.hashfile.build import build

    path = repo.fs.join(repo.root_dir, *item.path.split("/"))
    try:
        cache = repo.cache.local if item.algorithm == "md5" else repo.cache.legacy
        _, _, found = build(cache, path, repo.fs, item.algorithm, dry_run=True, ignore=repo.dvcignore)
    except Exception:  # DVC's file systems raise classes of many packages
        return None
    return found.hash_info.value


def _is_whole(cache: Any, value: str) -> bool:
    """Whether an object, and for a folder each of its files, is in a cache and is what its name says."""
    from dvc_data.hashfile.hash_info import HashInfo
    from dvc_data.hashfile.tree import Tree

    try:
        files = []
        if value.endswith(".dir"):
            files = [found.value for _, _, found in Tree.load(cache, HashInfo(cache.hash_name, value))]
        return all(is_intact(cache, name) for name in (value, *files))
    except Exception:  # DVC's file systems raise classes of many packages
        return False


def is_intact(cache: Any, name: str) -> bool:
    """Whether one object in DVC's cache is what its name says; DVC knows that of files that have not changed since.

    Raises:
        OSError: there is none.
    """
    from dvc_data.hashfile.hash import hash_file

    # Not `cache.check`, which removes what is damaged: this is a look.
    _, found = hash_file(cache.oid_to_path(name), cache.fs, cache.hash_name, cache.state)
    # Of the list of a folder DVC has noted the name with its ending when it was fetched, and without it otherwise.
    return found.value.removesuffix(".dir") == name.removesuffix(".dir")


def _kept_model(series: Series, record: dict[str, Any]) -> Link:
    path = series.folder / record["path"]
    if not path.exists():
        return Link("kept model", str(path), record["digest"], "missing: removed from the run's folder")
    try:
        same = digest_path(path) == record["digest"]
    except OSError as error:
        return Link("kept model", str(path), record["digest"], f"cannot be read: {error.strerror}")
    return Link("kept model", str(path), record["digest"], MATCHES if same else "differs: it was edited or damaged")


def _commit(what: str, root: Path, commit: str | None) -> Link:
    if not commit:
        return Link(what, "git", "", NOT_RECORDED)
    known = try_git(root, "cat-file", "-t", commit) == "commit"
    return Link(what, "git", commit, MATCHES if known else "missing: this repository does not have the commit")
