"""What dvc.yaml and dvc.lock say of a stage; templates are resolved by DVC's own resolver, without a whole DVC.

All paths are relative to the root of the DVC repository, whatever the stage's working folder.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple

import yaml

from trackstack import UserError
from trackstack.core.params import load_yaml

DVC_YAML, DVC_LOCK = "dvc.yaml", "dvc.lock"


class StageDefinition(NamedTuple):
    """One stage of a dvc.yaml."""

    name: str
    """As DVC addresses it from the root: `train`, `train@small` or `models/dvc.yaml:train`."""
    deps: list[str]
    params: dict[str, list[str]]
    """The parameters that it follows, by file; an empty list stands for the whole file."""
    outs: list[str]
    """Outputs, metrics and plots."""


def dvc_root(folder: Path) -> Path | None:
    """The nearest folder, this one or one above it, that holds `.dvc`."""
    return next((place for place in (folder, *folder.parents) if (place / ".dvc").is_dir()), None)


def running_stage() -> str | None:
    """The address of the stage that DVC has started this process for, relative to the folder that `dvc` runs in."""
    return os.environ.get("DVC_STAGE")


def stage_definition(root: Path, address: str, folder: Path | None = None) -> StageDefinition | None:
    """A stage by its address; None when there is no such stage.

    Args:
        folder: the stage's working folder; the dvc.yaml nearest to it counts. The root by default.

    Raises:
        UserError: a dvc.yaml cannot be read or resolved.
    """
    from dvc.exceptions import DvcException

    file, _, name = address.rpartition(":")
    folder = folder or root
    for place in (folder, *folder.parents):
        path = place / (file or DVC_YAML)
        if path.is_file():
            try:
                with _resolver(root, path) as resolver:
                    if resolver.has_key(name):
                        return _definition(root, path, name, resolver)
            except DvcException as error:
                raise UserError(f"{path}: {' '.join(str(error).split())}") from None
        if place == root:
            break
    return None


def locked_stages(root: Path) -> dict[str, dict[str, Any]]:
    """The entries of every dvc.lock below the root by the addresses of their stages.

    Raises:
        UserError: a dvc.yaml or dvc.lock cannot be read or resolved.
    """
    from dvc.exceptions import DvcException

    found: dict[str, dict[str, Any]] = {}
    for lock in dvc_files(root, DVC_LOCK):
        file = lock.with_name(DVC_YAML)
        try:
            stages = yaml.load(lock.read_text(encoding="utf-8"), getattr(yaml, "CSafeLoader", yaml.SafeLoader))[
                "stages"
            ]
            with _resolver(root, file) as resolver:
                for name, entry in stages.items():
                    if resolver.has_key(name):
                        folder = _working_folder(root, file, next(iter(resolver.resolve_one(name).values())))
                        found[_address(root, file, name)] = relative_to_root(folder, entry)
        except (DvcException, yaml.YAMLError, TypeError, KeyError, AttributeError) as error:
            raise UserError(f"{lock}: {' '.join(str(error).split())[:200]}; type: git checkout {lock}") from None
    return found


def tracked_data(root: Path) -> list[dict[str, Any]]:
    """What the `.dvc` files below the root track: path, hash and size of each."""
    return [
        entry | {"path": _joined(os.path.relpath(pointer.parent, root), entry["path"])}
        for pointer in dvc_files(root, "*.dvc")
        for entry in (load_yaml(pointer) or {}).get("outs", [])
    ]


def dvc_files(root: Path, pattern: str) -> list[Path]:
    """Files of this pattern below the root, but not in hidden folders, environments, or folders that DVC tracks."""
    found: list[Path] = []
    for place, folders, files in os.walk(root):
        tracked = {file.removesuffix(".dvc") for file in files if file.endswith(".dvc")}
        inside = [name for name in sorted(folders) if not name.startswith(".") and name not in tracked]
        folders[:] = [name for name in inside if not Path(place, name, "pyvenv.cfg").exists()]
        found += sorted(Path(place, file) for file in files if Path(file).match(pattern) and file != pattern[1:])
    return found


def overlap(path: str, other: str) -> bool:
    """Whether two paths are the same, or one lies below the other."""
    return path == other or path.startswith(f"{other}/") or other.startswith(f"{path}/")


@contextlib.contextmanager
def _resolver(root: Path, file: Path) -> Iterator[Any]:
    """DVC's resolver of the templates of a dvc.yaml."""
    from dvc.fs import LocalFileSystem
    from dvc.parsing import DataResolver

    folder = os.path.relpath(file.parent, root)
    with contextlib.chdir(root):  # where it looks for parameter files
        repo: Any = SimpleNamespace(fs=LocalFileSystem(), config={})  # all that it asks of a repository
        yield DataResolver(repo, "" if folder == "." else folder, load_yaml(file) or {})


def _definition(root: Path, file: Path, name: str, resolver: Any) -> StageDefinition:
    (found,) = resolver.resolve_one(name).values()
    folder = _working_folder(root, file, found)
    return StageDefinition(
        _address(root, file, name),
        deps=[_joined(folder, _path(dep)) for dep in found.get("deps", [])],
        params=_params(folder, found.get("params", [])),
        outs=[_joined(folder, _path(out)) for kind in ("outs", "metrics", "plots") for out in found.get(kind, [])],
    )


def _address(root: Path, file: Path, name: str) -> str:
    path = os.path.relpath(file, root)
    return name if path == DVC_YAML else f"{path}:{name}"


def _working_folder(root: Path, file: Path, stage: dict[str, Any]) -> str:
    return _joined(os.path.relpath(file.parent, root), stage.get("wdir") or ".")


def _params(folder: str, entries: list[Any]) -> dict[str, list[str]]:
    """A plain name is a parameter of params.yaml, `file: [names]` one of another file."""
    followed: dict[str, list[str]] = {}
    for entry in entries:
        for file, names in ({"params.yaml": [entry]} if isinstance(entry, str) else entry).items():
            followed.setdefault(_joined(folder, file), []).extend(names or [])
    return followed


def relative_to_root(folder: str, entry: dict[str, Any]) -> dict[str, Any]:
    """A stage's entry of dvc.lock with its paths seen from the root."""
    moved = dict(entry)
    for kind in ("deps", "outs"):
        if kind in entry:
            moved[kind] = [item | {"path": _joined(folder, item["path"])} for item in entry[kind]]
    if "params" in entry:
        moved["params"] = {_joined(folder, file): values for file, values in entry["params"].items()}
    return moved


def _path(entry: Any) -> str:
    return entry if isinstance(entry, str) else next(iter(entry))


def _joined(folder: str, path: str) -> str:
    return os.path.normpath(os.path.join(folder, path))  # noqa: PTH118 (may climb out and come back)
