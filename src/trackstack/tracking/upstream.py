"""What a stage that records a run was made from, as DVC has it: kept with the run, for a look a year later."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.dvc_yaml import (
    dvc_root,
    locked_stages,
    overlap,
    running_stage,
    stage_definition,
    tracked_data,
)


def upstream_of_running_stage() -> dict[str, Any] | None:
    """The record of everything upstream of the stage that runs; None outside a stage.

    Returns:
        `stage`, its `deps` (paths), its `params` (values by file and name); `stages`, the dvc.lock entries of all
        stages that it depends on, directly or not; `data`, the hashes that `.dvc` files give of what these read. Or
        `problem`, the reason why DVC's files could not be read: that is no reason to stop a computation.
    """
    address, folder = running_stage(), Path.cwd()
    root = dvc_root(folder)
    if address is None or root is None:
        return None
    try:
        definition = stage_definition(root, address, folder)
        if definition is None:
            return {"problem": f"no stage {address} in dvc.yaml"}
        stages = upstream_stages(definition.deps, locked_stages(root))
        paths = [*definition.deps, *(dep["path"] for entry in stages.values() for dep in entry.get("deps", []))]
        return {
            "stage": definition.name,
            "deps": sorted(definition.deps),
            "params": _values(root, definition.params),
            "stages": stages,
            "data": [data for data in tracked_data(root) if any(overlap(data["path"], path) for path in paths)],
        }
    except (UserError, OSError) as error:
        return {"problem": str(error)}


def upstream_stages(deps: list[str], locked: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Those of the locked stages whose outputs these paths need, directly or through other stages."""
    found: dict[str, dict[str, Any]] = {}
    waiting = list(deps)
    while waiting:
        path = waiting.pop()
        for address, entry in locked.items():
            if address not in found and any(overlap(path, out["path"]) for out in entry.get("outs", [])):
                found[address] = entry
                waiting += [dep["path"] for dep in entry.get("deps", [])]
    return dict(sorted(found.items()))


def _values(root: Path, followed: dict[str, list[str]]) -> dict[str, Any]:
    """The values of the parameters that a stage follows, by file."""
    from dvc.fs import LocalFileSystem
    from dvc.utils.serialize import ParseError, load_path

    values: dict[str, Any] = {}
    for file, names in followed.items():
        try:
            content = load_path(str(root / file), LocalFileSystem())
        except ParseError as error:
            raise UserError(" ".join(str(error).split())) from None
        values[file] = {name: _value(content, name) for name in names} if names else content
    return values


def _value(content: Any, name: str) -> Any:
    """What a dotted name stands for; None where there is nothing, which is for DVC to refuse."""
    for key in name.split("."):
        content = content.get(key) if isinstance(content, dict) else None
    return content
