"""Promoting: the model of a run becomes a version of a named model, with an alias such as `champion`; and back.

Git has the truth: a version's tag, the alias's tags and its branch are written in one transaction, so that a kill
leaves all of them or none. From the tags follow the notes in the runs' folders, and from these what a sync brings to
MLflow; promoting again makes up for what is lacking, and changes nothing else.
"""

from __future__ import annotations

import contextlib
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.core.digest import digest_path
from trackstack.core.dvc_yaml import DVC_YAML
from trackstack.core.files import sealed, write_json
from trackstack.core.params import load_yaml
from trackstack.records.model_card import card_file, earlier_card, write_card
from trackstack.records.promotion.commit import give_model, make_commit
from trackstack.records.promotion.refs import AliasBranch, change_refs
from trackstack.records.promotion.versions import (
    CHAMPION,
    NamedModel,
    Version,
    check_alias,
    check_name,
    create_tag,
    find_version,
    read_model,
    read_models,
)
from trackstack.records.query import find_run, read_run
from trackstack.system.git import is_in_git
from trackstack.tracking.sinks import Series, promotion_file


class Promotion(NamedTuple):
    """What was done, or was found done."""

    series: Series
    version: Version
    before: Version | None
    """The version that had the alias; None where none had."""
    origin: str | None
    """What the version's commit was made from; None where there was one."""
    branch: str
    card: Path
    folders: list[Path]
    """Of all runs of this name that are here: a sync brings their notes to MLflow."""


def promote(home: Path, root: Path, key: str, name: str | None, alias: str = CHAMPION, why: str = "") -> Promotion:
    """Make the model of a run a version of a named model, unless it is one, and give it the alias.

    Args:
        root: of the DVC repository.
        key: the run's id, the beginning of it, or its name.
        name: of the model; by default that of dvc.yaml's artifact, or of the kind of model.
        why: for the people who come after.

    Raises:
        UserError: no such run, one without a whole model, a name that is refused, or something in git's way.
    """
    run = find_run(home, key)
    series, record = run.series, model_record(run.series)
    _refuse_place(root)
    card = earlier_card(card_file(series))
    name = name or _usual_name(root, series, record)
    check_name(name)
    check_alias(alias)
    model = read_model(root, name)
    branch = AliasBranch(root, model, alias)
    before = model.holders().get(alias)
    same = [one for one in model.versions if (one.run, one.digest) == (series.run, record["digest"])]
    if same:
        version, commit, origin, changes = same[-1].version, same[-1].commit, None, []
    else:
        commit, origin = make_commit(root, series, _whole_copy(series, record), name)
        version = f"v{model.versions[-1].major + 1 if model.versions else 1}.0.0"
        about = {"Run": series.run, "Series": str(series.number), "Model": record["digest"]}
        text = f"{name} {version}: the model of run {series.key}"
        changes = [create_tag(root, f"{name}@{version}", commit, text, why, about)]
    if before is None or before.version != version:
        text = f"{name} {version} is {alias}"
        tag = f"{name}#{alias}#{model.counter + 1}"
        changes.append(create_tag(root, tag, commit, text, why, {"Version": version}))
    change_refs(root, name, [*changes, *branch.moved_to(commit)])
    folders = write_notes(home, root, name)
    write_card(card_file(series), run, card)
    made = find_version(root, f"{name}@{version}")
    return Promotion(series, made, before, origin, branch.name, card_file(series), folders)


class Demotion(NamedTuple):
    """What was done, or was found done."""

    version: Version
    """That had the alias."""
    folders: list[Path]
    """As of `Promotion`."""


def demote(home: Path, root: Path, name: str, alias: str = CHAMPION, why: str = "") -> Demotion:
    """Take an alias and its branch away from a named model; versions, tags and notes stay.

    Raises:
        UserError: no such model, it never had the alias, or something is in git's way.
    """
    _refuse_place(root)
    check_alias(alias)
    model = read_model(root, name)
    had = [assignment for assignment in model.assignments if assignment.alias == alias]
    if not had:
        find_version(root, f"{name}@{alias}")  # says what there is
    version, changes = had[-1].version, AliasBranch(root, model, alias).removed()
    if not had[-1].is_removal:
        text = f"{name} {version.version} is no longer {alias}"
        tag = f"{name}#{alias}!#{model.counter + 1}"
        changes.append(create_tag(root, tag, version.commit, text, why, {"Version": version.version}))
    change_refs(root, name, changes)
    return Demotion(version, write_notes(home, root, name))


@contextlib.contextmanager
def model_folder(wanted: str, home: Path, root: Path) -> Iterator[Path]:
    """The file or folder of a promoted model, verified: the copy that its run has kept, else what DVC has of it.

    Args:
        wanted: `NAME`, `NAME@champion` or another alias, `NAME@v2` or `NAME@v2.0.0`.

    Raises:
        UserError: no such model, or nobody here has it undamaged.
    """
    version = find_version(root, wanted)
    runs = read_run(home / "runs" / version.run).series if version.run else []
    kept = [copy for run in runs if (copy := kept_copy(run.series, version.digest))]
    if kept:
        yield kept[0]
        return
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model")
        give_model(root, version.commit, version.name, path)
        if version.digest and digest_path(path) != version.digest:
            raise UserError(
                f"{version.tag}: what DVC has is not the model that was promoted, and run {version.key} keeps no "
                f"copy here; trackstack lineage {version.key} says what is damaged"
            )
        yield path


def model_record(series: Series) -> dict[str, Any]:
    """The record of the one model of a finished run; UserError at any other."""
    models = {record["name"]: record for record in series.artifacts if record["kind"] == "model"}
    if series.status != "finished" or not models:
        raise UserError(f"{series.key}: is {series.status} and has no model to promote; expected a finished training")
    if len(models) > 1:
        raise UserError(f"{series.key}: has {len(models)} models ({', '.join(models)}); expected one to promote")
    return next(iter(models.values()))


def kept_copy(series: Series, digest: str) -> Path | None:
    """The copy of a model in a run's folder that is whole: of the attempt that recorded it, or of a repetition."""
    for record in series.artifacts:
        if record["digest"] == digest:
            repeated = sorted(series.folder.glob("artifacts/*"))
            for path in (series.folder / record["path"], *(attempt / record["name"] for attempt in repeated)):
                with contextlib.suppress(OSError):
                    if path.exists() and digest_path(path) == digest:
                        return path
    return None


def _whole_copy(series: Series, record: dict[str, Any]) -> Path:
    copy = kept_copy(series, record["digest"])
    if copy is None:
        raise UserError(
            f"{series.folder / record['path']}: is not the model that the run recorded: damaged, edited or removed; "
            "run it again, which keeps another copy of the same model"
        )
    return copy


def write_notes(home: Path, root: Path, name: str) -> list[Path]:
    """Bring the notes in the folders of all runs of a name to what git's tags say; those folders."""
    models = read_models(root)
    folders = {run: home / "runs" / run for run in sorted({version.run for version in models[name].versions} - {""})}
    folders = {run: folder for run, folder in folders.items() if folder.is_dir()}
    for run, folder in folders.items():
        notes: dict[int, list[dict[str, Any]]] = {}
        for model in models.values():
            for version in model.versions:
                if version.run == run:
                    notes.setdefault(_series_number(folder, version), []).append(_note(model, version))
        for number, noted in notes.items():
            write_json(promotion_file(folder, number), sealed({"models": noted}))
    return list(folders.values())


def _note(model: NamedModel, version: Version) -> dict[str, Any]:
    return {
        "name": version.name,
        "version": version.version,
        "aliases": model.aliases_of(version),
        "digest": version.digest,
        "commit": version.commit,
        "user": version.user,
        "time": version.time,
        "why": version.why,
    }


def _series_number(folder: Path, version: Version) -> int:
    """The series that has the model of a version; its number may be another one where a record was taken over."""
    numbers = [
        run.series.number
        for run in read_run(folder).series
        if any(record["digest"] == version.digest for record in run.series.artifacts)
    ]
    return version.series if version.series in numbers or not numbers else numbers[0]


def _usual_name(root: Path, series: Series, record: dict[str, Any]) -> str:
    """The artifact of dvc.yaml at whose path such a model lies, or the kind of the model."""
    file = root / DVC_YAML
    artifacts = ((load_yaml(file) or {}).get("artifacts") or {}) if file.is_file() else {}
    names = [name for name, artifact in artifacts.items() if Path(artifact["path"]).name == record["name"]]
    return names[0] if len(names) == 1 else series.start["tags"].get("model_name") or series.start["name"]


def _refuse_place(root: Path) -> None:
    if not (root / ".dvc").is_dir():
        raise UserError(f"{root.absolute()}: no DVC repository; run this where .dvc lies, or make one: dvc init")
    if not is_in_git(root):
        raise UserError(
            f"{root.absolute()}: not in git, whose tags keep promoted models; git init, commit, and run it again"
        )
