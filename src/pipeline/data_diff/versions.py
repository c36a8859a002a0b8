"""A version of the rows: what lies in the working tree, or what the dvc.lock of a commit names, in DVC's cache."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.contract.catalog import Contract, chosen_dataset, raw_path
from pipeline.contract.layout import PROFILE_FILE, SUMMARIES_FOLDER
from pipeline.ingest.manifest import Manifest, RawFile
from pipeline.parquet.parts import PartFiles, Summary
from pipeline.parquet.sample import JoinedSample
from trackstack import UserError
from trackstack.core.dvc_yaml import stage_definition
from trackstack.core.files import read_json
from trackstack.core.params import PARAMS_FILE, Parameters
from trackstack.sharing.transfer import open_repository
from trackstack.storage.needs import Cache
from trackstack.storage.references import items_of, locks_of
from trackstack.system.git import git, git_bytes, try_git

INGEST, PARQUET = "ingest", "parquet"
"""The stages, as dvc.yaml calls them."""


class DataVersion(NamedTuple):
    """What is known of the rows without opening them."""

    name: str
    profile: dict[str, Any]
    contract: Contract
    files: tuple[RawFile, ...]
    sample_KC: np.ndarray
    """Of the accepted rows, every column of numbers in the contract's order; NaN where a value is missing."""


def in_working_tree() -> DataVersion:
    """What the stages last wrote here; UserError when they did not."""
    manifest, processed = (_output(stage) for stage in (INGEST, PARQUET))

    def find(name: str) -> Path:
        if not (processed / name).is_file():
            raise UserError(f"{processed / name}: no such file; type: dvc repro {PARQUET}")
        return processed / name

    find(PROFILE_FILE)
    content = manifest.read_bytes() if manifest.is_file() else b""
    again = f"type: dvc repro --force {INGEST} {PARQUET}"
    return _load("the working tree", find, str(processed), content, again, lambda place: again)


def what_is_newer(version: DataVersion) -> list[str]:
    """A line where the rows here are not of the dataset in params.yaml, or of other raw files, by names and sizes."""
    dataset, todo = version.profile["dataset"], f"type: dvc repro {PARQUET}"
    if (chosen := chosen_dataset(Parameters.load())) != dataset:
        return [f"{PARAMS_FILE} has dataset {chosen}, but the rows are of {dataset}; {todo}"]
    raw = Path(raw_path(dataset))
    sizes = {file.name: file.stat().st_size for file in raw.glob("[!.]*")}
    if sizes and sizes != {file.name: file.bytes for file in version.files}:
        return [f"{raw}: other files than those that the rows were made from; {todo}"]
    return []


def _output(stage: str) -> Path:
    definition = stage_definition(Path.cwd(), stage)
    if definition is None or not definition.outs:
        raise UserError(f"dvc.yaml: no stage {stage} with an output here; go to the folder of the project")
    return Path(definition.outs[0])


def at_commit(revision: str) -> DataVersion:
    """What the dvc.lock of a commit names.

    Args:
        revision: a commit, branch or tag.

    Raises:
        UserError: there is no such commit, it has no dvc.lock, or DVC's cache lacks the profile or a summary.
    """
    git(Path(), "rev-parse", "--git-dir")
    commit = try_git(Path(), "rev-parse", "--verify", "--quiet", "--end-of-options", f"{revision}^{{commit}}")
    if commit is None:
        raise UserError(f"{revision}: no such commit, branch or tag; git log --oneline shows the commits")
    stages = locks_of(Path(), {revision: commit})[revision]
    if not {INGEST, PARQUET} <= set(stages):
        raise UserError(
            f"{revision}: its dvc.lock names no rows (stages {INGEST} and {PARQUET}); "
            "git log --oneline -- dvc.lock shows the commits that have one"
        )
    (rows,) = items_of(stages[PARQUET]["outs"])
    (manifest,) = items_of(stages[INGEST]["outs"])
    fetch = f"fetch {_option_of(commit)} {rows.path}/{PROFILE_FILE} {rows.path}/{SUMMARIES_FOLDER}"
    with open_repository(Path.cwd()) as repo:
        cache = Cache(repo)
        files = cache.files(rows) or {}

        def find(name: str) -> Path:
            place = cache.path(rows, files[name]) if name in files else None
            if place is None or not place.is_file():
                raise UserError(f"{revision}: {rows.path}/{name} is not in DVC's cache; type: dvc {fetch}")
            return place

        find(PROFILE_FILE)
        in_cache = cache.path(manifest, manifest.md5)
        content = in_cache.read_bytes() if in_cache.is_file() else _in_git(commit, manifest.path)
        name, another = f"{revision} ({commit[:7]})", "choose a commit whose rows were made by this code"
        return _load(name, find, rows.path, content, another, lambda place: f"type: rm {place} && dvc {fetch}")


def _option_of(commit: str) -> str:
    """With which DVC fetches what a commit names, and as little else as it can."""
    for kind, option in (("heads", "--all-branches"), ("tags", "--all-tags")):
        if git(Path(), "for-each-ref", f"--points-at={commit}", f"refs/{kind}"):
            return option
    return "--all-commits"


def _in_git(commit: str, path: str) -> bytes:
    """A small output that dvc.yaml leaves to git; nothing where git has none, either."""
    try:
        return git_bytes(Path(), "show", f"{commit}:./{path}")
    except UserError:
        return b""


def _load(
    name: str, find: Callable[[str], Path], processed: str, manifest: bytes, again: str, mend: Callable[[Path], str]
) -> DataVersion:
    """Read what describes a version.

    Args:
        find: where a file of the folder of rows lies.
        processed: that folder, for messages.
        manifest: the content of its file.
        again: the end of a message where something was written by other code.
        mend: the same where this file is damaged.
    """
    try:
        place = find(PROFILE_FILE)
        profile = read_json(place, mend(place))
        contract = Contract.model_validate(profile["contract"])
        sample = JoinedSample(contract.amounts())
        for part in profile["parts"]:
            place = find(PartFiles.named(Path(part["file"]).stem).summary)
            sample.add(Summary.read(place, contract, mend(place)).profile.sample)
        read = Manifest.model_validate_json(manifest) if manifest else None
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{name}: {processed} was written by other code than this ({reason}); {again}") from None
    if read is None or read.digest != profile["reads"]:
        raise UserError(f"{name}: the manifest of its raw files is not that of {processed}; {again}")
    return DataVersion(name, profile, contract, read.files, sample.values())
