"""The commit of a promoted model: the run's exact source, with what DVC needs to give the model by its name.

An experiment's own commit has that, but for the artifact's name in dvc.yaml. For any other run it is made on top of
the commit that keeps the run's source: with the dvc.lock that has the outputs of its stage or, where none has, with
a `.dvc` file of the model alone. Index, working tree and branches are not touched.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from trackstack import UserError
from trackstack.core.dvc_yaml import DVC_LOCK, DVC_YAML
from trackstack.records.source import source_commit
from trackstack.system.git import git, try_git
from trackstack.tracking.sinks import Series
from trackstack.tracking.snapshot import AUTHOR


class PromotedCommit(NamedTuple):
    """A commit that gives a model by its name."""

    commit: str
    origin: str
    """What it was made from, for people."""


def make_commit(root: Path, series: Series, model: Path, name: str) -> PromotedCommit:
    """Make the commit, the same one again for the same run, and see to it that DVC's cache has the model.

    Args:
        root: of the DVC repository.
        model: the file or folder that the run has kept.

    Raises:
        UserError: git has not the run's source, DVC cannot keep the model, or dvc.yaml has another one of that name.
    """
    pointer = _into_cache(root, model)
    base, lock, origin = _find_lock(root, series, pointer["md5"])
    files = {} if lock is None else {_lock_path(series): lock}
    if origin is None:
        origin = f"the run's source and promoted/{name}.dvc, since no dvc.lock has this model"
        entry = yaml.safe_dump({"outs": [pointer | {"hash": "md5", "path": name}]}, sort_keys=False)
        files, path = {f"promoted/{name}.dvc": entry}, f"promoted/{name}"
    else:
        locked = _commit_on(root, base, files, series, name)
        path = _path_at(root, locked, pointer["md5"])
    named = _with_artifact(try_git(root, "show", f"{base}:./{DVC_YAML}") or "", name, path)
    return PromotedCommit(_commit_on(root, base, files | named, series, name), origin)


def give_model(root: Path, commit: str, name: str, target: Path) -> None:
    """Write the model that a commit has by its name, from DVC's cache or remote; UserError where none has it."""
    from dvc.fs import download
    from dvc.repo import Repo

    artifacts = yaml.safe_load(git(root, "show", f"{commit}:./{DVC_YAML}")).get("artifacts") or {}
    if name not in artifacts:
        raise UserError(f"{DVC_YAML} of commit {commit[:12]} has no artifact {name}, though a tag says so")
    path = artifacts[name]["path"]
    try:
        with Repo(str(root)) as repo, repo.switch(commit):
            download(repo.dvcfs, repo.dvcfs.join(repo.dvcfs.root_marker, path), str(target))
    except Exception as error:  # DVC, its file systems and its remotes raise classes of many packages
        raise UserError(
            f"{path} of commit {commit[:12]}: DVC cannot give it ({_reason(error)}); dvc push --all-tags, where it "
            "was promoted, brings it to the remote"
        ) from None


def _find_lock(root: Path, series: Series, md5: str) -> tuple[str, str | None, str | None]:
    """A commit to build on, the text of a dvc.lock that it lacks, and the origin of both; None where no lock fits."""
    tags, upstream = series.start["tags"], series.start.get("upstream")
    experiment = tags.get("dvc_exp")
    if upstream and experiment:
        for commit in (
            try_git(root, "for-each-ref", "--format=%(objectname)", f"refs/exps/*/*/{experiment}") or ""
        ).split():
            if _is_of_run(_text_at(root, commit, series), md5, upstream):
                return commit, None, f"experiment {experiment}"
    source = source_commit(series, root)
    for text in _locks(root, series, md5) if upstream else ():
        if _is_of_run(text, md5, upstream or {}):
            return source, text, "the run's source and its dvc.lock"
    return source, None, None


def _locks(root: Path, series: Series, md5: str) -> Iterator[str]:
    """Texts of dvc.lock: that of the workspace, then those of all commits in which a hash came or went."""
    path = root / _lock_path(series)
    if path.is_file():
        yield path.read_text(encoding="utf-8", errors="surrogateescape")
    for commit in git(root, "log", "--all", "--format=%H", f"-S{md5}", "--", _lock_path(series)).split():
        yield _text_at(root, commit, series)


def _is_of_run(text: str, md5: str, upstream: dict[str, Any]) -> bool:
    """Whether a dvc.lock has the model, and upstream of it what the run has recorded."""
    try:
        stages = yaml.load(text, getattr(yaml, "CSafeLoader", yaml.SafeLoader))["stages"]
        hashes = {name: {out.get("md5") for out in entry.get("outs", [])} for name, entry in stages.items()}
    except (yaml.YAMLError, TypeError, KeyError, AttributeError):
        return False
    recorded = upstream.get("stages", {})
    return any(md5 in found for found in hashes.values()) and all(
        hashes[name] == {out.get("md5") for out in recorded[name].get("outs", [])}
        for name in hashes.keys() & recorded
    )


def _lock_path(series: Series) -> str:
    """The dvc.lock of the run's stage, from the root."""
    file = (series.start.get("upstream") or {}).get("stage", "").rpartition(":")[0]
    return str(PurePosixPath(file or DVC_YAML).with_name(DVC_LOCK))


def _text_at(root: Path, commit: str, series: Series) -> str:
    text = try_git(root, "show", f"{commit}:./{_lock_path(series)}")
    return f"{text}\n" if text else ""


def _into_cache(root: Path, model: Path) -> dict[str, Any]:
    """Bring a file or folder to DVC's cache; its md5, size, and number of files if it is a folder."""
    from dvc.fs import localfs
    from dvc.repo import Repo
    from dvc_data.hashfile.build import build
    from dvc_data.hashfile.transfer import transfer

    try:
        with Repo(str(root)) as repo:
            cache = repo.cache.local
            staging, meta, found = build(cache, str(model), localfs, "md5")
            transfer(staging, cache, {found.hash_info}, shallow=False, hardlink=False)
    except Exception as error:  # DVC and its file systems raise classes of many packages
        raise UserError(f"{model}: DVC cannot keep it ({_reason(error)})") from None
    counted = {"size": meta.size} | ({"nfiles": meta.nfiles} if meta.isdir else {})
    return {"md5": found.hash_info.value, **counted}


def _path_at(root: Path, commit: str, md5: str) -> str:
    """The path, from the root, of the output that has a hash in a commit."""
    from dvc.repo import Repo

    try:
        with Repo(str(root)) as repo, repo.switch(commit):
            for out in repo.index.outs:
                if out.hash_info and out.hash_info.value == md5:
                    return repo.fs.relpath(out.fs_path, repo.root_dir)
    except Exception as error:
        raise UserError(f"{root}: DVC cannot read commit {commit[:12]} ({_reason(error)})") from None
    raise UserError(
        f"{root}: dvc.yaml of commit {commit[:12]} has no output with the model, but its dvc.lock has one"
    )


def _with_artifact(text: str, name: str, path: str) -> dict[str, str]:
    """The dvc.yaml, by its name, in which the artifact has this path; nothing where it has it already."""
    from dvc.utils.serialize import dumps_yaml, parse_yaml_for_update

    content = parse_yaml_for_update(text, DVC_YAML)
    content["artifacts"] = artifacts = content.get("artifacts") or {}
    known = artifacts.get(name)
    if known is None:
        artifacts[name] = {"path": path, "type": "model"}
    elif PurePosixPath(known["path"]) == PurePosixPath(path):
        return {}
    elif path == f"promoted/{name}":
        known["path"] = path
    else:
        raise UserError(
            f"{DVC_YAML}: artifacts.{name} is {known['path']}, and the run's model is {path}; choose another NAME"
        )
    return {DVC_YAML: dumps_yaml(content)}


def _commit_on(root: Path, base: str, files: dict[str, str], series: Series, name: str) -> str:
    """A commit on top of another one in which these files have these texts; that one itself if they have."""
    top, prefix = git(root, "rev-parse", "--show-toplevel"), git(root, "rev-parse", "--show-prefix")
    with tempfile.TemporaryDirectory() as folder:
        env = {"GIT_INDEX_FILE": str(Path(folder, "index"))}
        git(Path(top), "read-tree", base, env=env)
        for path, text in files.items():
            blob = git(Path(top), "hash-object", "-w", "--stdin", stdin=text)
            git(Path(top), "update-index", "--add", "--cacheinfo", f"100644,{blob},{prefix}{path}", env=env)
        tree = git(Path(top), "write-tree", env=env)
    if tree == git(root, "rev-parse", f"{base}^{{tree}}"):
        return base
    date = f"{int(series.start['time'])} +0000"  # the same commit whenever it is made
    author = AUTHOR | {"GIT_AUTHOR_DATE": date, "GIT_COMMITTER_DATE": date}
    return git(root, "commit-tree", tree, "-p", base, "-m", f"Model {name} of run {series.key}", env=author)


def _reason(error: Exception) -> str:
    return " ".join(str(error).split())[:200] or type(error).__name__
