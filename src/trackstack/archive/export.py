"""`trackstack runs export`: everything of a run in one file."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Collection
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import yaml

from trackstack import UserError
from trackstack.archive.crate import WORKFLOW, RunFacts, ro_crate
from trackstack.archive.manifest import Files, is_good_name, write_archive
from trackstack.archive.texts import citation, croissant, readme, to_json, zenodo
from trackstack.cluster.clones import cache_folder
from trackstack.core.dvc_yaml import overlap
from trackstack.core.files import sealed, write_json
from trackstack.records.model_card import card_file, earlier_card, model_card
from trackstack.records.query import find_run, last_figures
from trackstack.reproduction.expected import Expected, expected_of
from trackstack.sharing.folders import EXPORT_NOTE, files_of
from trackstack.sharing.record import SharedObject
from trackstack.sharing.transfer import fetch_objects, open_repository
from trackstack.system.git import git, git_blobs
from trackstack.system.project import load_hook
from trackstack.tracking.series import SeriesRecords


class Exported(NamedTuple):
    """An archive that was written."""

    path: Path
    size: int
    """In bytes."""
    left_out: list[str]
    """The files of the source that are not in it."""


def export_run(key: str, home: Path, root: Path, target: Path | None, with_data: bool) -> Exported:
    """Write the archive of a finished run.

    Args:
        root: the DVC repository that has its source.
        target: by default RUN.zip in the working folder.
        with_data: put in the data that DVC tracks, too, as plain files.

    Raises:
        UserError: no such run, or a part of it is not here.
    """
    run = find_run(home, key)
    expected = expected_of(run.series.key, home, root)
    target = target or Path(f"{run.series.key}.zip")
    if not target.parent.is_dir():
        raise UserError(f"{target.parent}: no such folder; make it first")
    if target.is_dir():
        raise UserError(f"{target}: is a folder; type: --out {target / f'{run.series.key}.zip'}")
    items, data = _data_items(run), run.series.start["data"] or {}
    hashes = {path: item["md5"] for path, item in items.items()}
    source = source_of(root, expected.commit)
    project = _project(source.files)
    facts = run_facts(run, expected, project)
    files: Files = {f"source/{name}": content for name, content in source.files.items()}
    files |= _record(run) | (_data(root, items) if with_data else {})
    texts = _texts(run, expected, facts, project, with_data)
    texts["croissant.json"] = croissant(facts, data, hashes, _described(data.get("name"), source, root))
    if source.left_out:
        texts["left-out.txt"] = "".join(f"{name}\n" for name in source.left_out)
    files |= {name: text.encode("utf-8", "backslashreplace") for name, text in texts.items()}
    pipeline = WORKFLOW if WORKFLOW in files else "dvc.lock"
    sizes = {
        name: content.stat().st_size if isinstance(content, Path) else len(content) for name, content in files.items()
    }
    files["ro-crate-metadata.json"] = to_json(ro_crate(facts, sizes, pipeline)).encode()
    write_archive(target, files, {f"source/{name}" for name in source.programs})
    with contextlib.suppress(OSError):  # somebody else's home, whose gc knows its own exports
        write_json(run.series.folder / EXPORT_NOTE, sealed({"run": run.series.key}))
    return Exported(target, target.stat().st_size, source.left_out)


def _texts(
    run: SeriesRecords, expected: Expected, facts: RunFacts, project: dict[str, Any], with_data: bool
) -> dict[str, str]:
    """What is written for the archive alone, by name."""
    environment = {name: value for name, value in expected.environment.items() if name not in ("user", "host")}
    packages = environment.get("packages", {})
    return {
        "README.md": readme(facts, with_data),
        "CITATION.cff": citation(facts, project),
        ".zenodo.json": zenodo(facts, project),
        "model-card.md": model_card(run, earlier_card(card_file(run.series))),
        "parameters.json": to_json(run.series.start["params"]),
        "metrics.json": to_json(last_figures(run)),
        "dvc.lock": yaml.safe_dump({"schema": "2.0", "stages": facts.stages}, sort_keys=False),
        "environment.json": to_json(environment),
        "requirements.txt": "".join(f"{name}=={version}\n" for name, version in packages.items()),
    }


def _described(name: str | None, source: Source, root: Path) -> dict[str, Any]:
    """What the project's own code says of a dataset; nothing where it has none for it."""
    describe = load_hook("describe_data", root)
    return describe(name, source.files) if describe and name else {}


def run_facts(run: SeriesRecords, expected: Expected, project: dict[str, Any]) -> RunFacts:
    """What the metadata say of a run."""
    start, figures = run.series.start, last_figures(run)
    shown = ", ".join(f"{name} {value:.4g}" for name, value in sorted(figures.items())[:3])
    return RunFacts(
        run.series.key,
        start["name"],
        start["environment"].get("user") or "unknown",
        start["time"],
        run.series.finished or start["time"],
        expected.entries,
        figures,
        project.get("license"),
        f"A training run, recorded by trackstack, with its source, record and model: {shown or 'no figures'}.",
    )


class Source(NamedTuple):
    """The files of a run's source."""

    files: dict[str, bytes]
    programs: set[str]
    """Those that can be executed."""
    left_out: list[str]
    """Links out of it, submodules, names that not every system has, and the objects of a DVC remote in it."""


def source_of(root: Path, commit: str) -> Source:
    """Every file of a commit."""
    listed = [line.split("\t", 1) for line in git(root, "ls-tree", "-r", "-z", commit).split("\0") if line]
    entries = {name: entry.split() for entry, name in listed}
    remotes = _remotes_inside(root)
    kept = [
        name
        for name, (_, kind, _) in entries.items()
        if kind == "blob"
        and is_good_name(name)
        and not any(PurePosixPath(name).is_relative_to(remote) for remote in remotes)
    ]
    blobs = git_blobs(root, (entries[name][2] for name in kept))
    contents = {name: blobs[entries[name][2]] for name in kept}
    links = {name: os.fsdecode(contents.pop(name)) for name in kept if entries[name][0] == "120000"}
    programs = {name for name in contents if entries[name][0] == "100755"}
    followed = {path: real for link, target in links.items() for path, real in _behind(link, target, contents)}
    programs |= {path for path, real in followed.items() if real in programs}
    files = contents | {path: contents[real] for path, real in followed.items()}
    left_out = [name for name in entries if name not in files and not any(overlap(name, path) for path in followed)]
    return Source(files, programs, sorted(left_out))


def _behind(link: str, target: str, files: Collection[str]) -> list[tuple[str, str]]:
    """What a link within the source stands for: the paths behind it, and the file that each of them is."""
    place = os.path.normpath(os.path.join(os.path.dirname(link), target))  # noqa: PTH118, PTH120 (not of this machine)
    below = [(f"{link}{file.removeprefix(place)}", file) for file in files if file.startswith(f"{place}/")]
    return [(link, place)] if place in files else below


def _remotes_inside(root: Path) -> list[str]:
    """Folders of the repository that are DVC remotes: data, not source."""
    from configobj import ConfigObj

    config = ConfigObj(str(root / ".dvc/config"), interpolation=False, encoding="utf-8")
    places = [
        (root / ".dvc" / str(values.get("url", ""))).resolve()
        for section, values in config.items()
        if section.strip("'").startswith("remote ")
    ]
    inside = [place for place in places if place.is_relative_to(root.resolve()) and place != root.resolve()]
    return [place.relative_to(root.resolve()).as_posix() for place in inside]


def _record(run: SeriesRecords) -> Files:
    """The run's folder, in the form that is shared."""
    files, problems = files_of(run.series.folder)
    if problems:
        raise UserError(problems[0])
    folder = run.series.folder
    return {
        f"record/{run.series.run}/{name}": content.data if content.data is not None else content.path or folder / name
        for name, content in files.items()
    }


def _data_items(run: SeriesRecords) -> dict[str, dict[str, Any]]:
    return {item["path"]: item for record in run.series.upstream for item in record.get("data", []) if "md5" in item}


def _data(root: Path, items: dict[str, dict[str, Any]]) -> Files:
    """The files of what DVC tracks, out of its cache, which gets them from a remote if need be."""
    with open_repository(root) as repo:
        wanted = [
            SharedObject(path=path, md5=item["md5"], hash=item.get("hash", "md5-dos2unix"), remote=item.get("remote"))
            for path, item in items.items()
        ]
        if missing := fetch_objects(repo, wanted, None).missing:
            lacking, why = next(iter(missing.items()))
            raise UserError(f"{lacking.path}: {why}; --without-data leaves it out")
    cache, files = cache_folder(root), Files()
    for path, item in items.items():
        place = _object(cache, item["md5"])
        if item["md5"].endswith(".dir"):
            for entry in json.loads(place.read_bytes()):
                files[f"data/{path}/{entry['relpath']}"] = _object(cache, entry["md5"])
        else:
            files[f"data/{path}"] = place
    return files


def _object(cache: Path, md5: str) -> Path:
    place = cache / "files/md5" / md5[:2] / md5[2:]
    return place if place.exists() else cache / md5[:2] / md5[2:]  # of DVC before 3


def _project(source: dict[str, bytes]) -> dict[str, Any]:
    """The source's CITATION.cff; nothing where it has none that can be read."""
    try:
        content = yaml.safe_load(source.get("CITATION.cff", b""))
    except yaml.YAMLError:
        return {}
    return content if isinstance(content, dict) else {}
