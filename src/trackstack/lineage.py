"""From a run back to its raw files, each link verified against what lies on disk now."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError
from trackstack.digest import digest_arrays, digest_file, digest_json, digest_path
from trackstack.ingest import Manifest, read_manifest
from trackstack.outputs import PROFILE_FILE, ROWS_FILE
from trackstack.params import load_yaml
from trackstack.runs import find_run

LOCK_FILE = Path("dvc.lock")


class Link(NamedTuple):
    """One thing that a run came from."""

    what: str
    where: str
    identity: str
    """Digest, commit or name, as the record has it."""
    verdict: str
    """`matches`, or what is different about what lies there."""


def lineage(key: str, home: Path) -> Iterator[Link]:
    """The links of a run: model, tensors, Parquet, raw files, source, commit, DVC experiment.

    Raises:
        UserError: no such run.
    """
    series = find_run(home, key).series
    digests = (series.start["data"] or {}).get("digests", {})
    outputs = _outputs()
    for record in series.artifacts:
        if record["kind"] == "model":
            yield _link("kept model", series.folder / record["path"], record["digest"], digest_path)
            yield _link("model", outputs.get("model"), record["digest"], digest_path)
    yield _link("tensors", outputs.get("cache"), digests.get("tensor_cache"), _digest_of_cache)
    processed = outputs.get("processed")
    yield _link("Parquet", processed, digests.get("parquet"), lambda path: digest_file(path / ROWS_FILE))
    yield _link("profile", processed, digests.get("ingest"), _digest_read_by_parquet)
    manifest = outputs.get("manifest.json")
    yield _link("manifest", manifest, digests.get("ingest"), lambda path: read_manifest(path).digest)
    if manifest is not None and manifest.exists() and read_manifest(manifest).digest == digests.get("ingest"):
        yield from _raw_links(read_manifest(manifest))
    tags = series.start["tags"]
    yield _commit("source", tags.get("source"))
    yield _commit("commit" if tags.get("git_dirty") != "true" else "commit (edited)", tags.get("git_commit"))
    if "dvc_exp" in tags:
        known = tags["dvc_exp"] in _git("for-each-ref", "--format=%(refname:lstrip=-1)", "refs/exps").splitlines()
        yield Link("experiment", "DVC", tags["dvc_exp"], "matches" if known else "gone: dvc exp list has it no more")


def _raw_links(manifest: Manifest) -> Iterator[Link]:
    for file in manifest.files:
        yield _link("raw file", Path(manifest.path) / file.name, file.sha256, digest_file)


def _link(what: str, path: Path | None, expected: str | None, digest: Callable[[Path], str]) -> Link:
    if expected is None:
        return Link(what, str(path or ""), "", "not recorded")
    if path is None or not path.exists():
        return Link(what, str(path or ""), expected, "not here: git checkout the commit, then dvc checkout")
    try:
        found = digest(path)
    except (UserError, OSError, ValueError, KeyError) as error:
        return Link(what, str(path), expected, f"cannot be read: {error}")
    return Link(what, str(path), expected, "matches" if found == expected else f"differs: {found[:12]} lies there")


def _commit(what: str, commit: str | None) -> Link:
    if not commit:
        return Link(what, "git", "", "not recorded")
    known = _git("cat-file", "-t", commit) == "commit"
    return Link(what, "git", commit, "matches" if known else "gone: this repository does not have it")


def _digest_of_cache(folder: Path) -> str:
    """Of what really lies in a cache, all of it; see `trackstack.tensor_cache.build`."""
    from trackstack.windows import open_cache  # imports torch

    cache = open_cache(folder)
    names = ("signal", "label", "mean", "std", "segment_edges", "segment_groups")
    tensors = {name: getattr(cache, name) for name in names}
    tensors |= {f"starts_{name}": starts for name, starts in cache.starts.items()}
    metadata = {name: value for name, value in cache.metadata.items() if name != "digest"}
    return digest_json([metadata, digest_arrays({name: tensor.numpy() for name, tensor in tensors.items()})])


def _digest_read_by_parquet(folder: Path) -> str:
    return json.loads((folder / PROFILE_FILE).read_text(encoding="utf-8"))["reads"]


def _outputs() -> dict[str, Path]:
    """Where the stages' outputs lie, by their own names, as `dvc.lock` has it."""
    if not LOCK_FILE.exists():
        return {}
    stages = (load_yaml(LOCK_FILE) or {}).get("stages", {})
    paths = [Path(out["path"]) for stage in stages.values() for out in stage.get("outs", [])]
    return {path.name: path for path in paths}


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=False)
    return done.stdout.strip()
