"""What DVC knows of a repository's stages: their order, and which of them follow a parameter.

The objects are DVC's own: `dvc.stage.Stage`, and a graph where an edge leads to a stage that is needed.
"""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.dvc_yaml import DVC_LOCK
from trackstack.core.params import PARAMS_FILE
from trackstack.system.project import refuse_unusable_folder


@contextlib.contextmanager
def open_repo(root: Path) -> Iterator[Any]:
    """DVC's repository in a folder; its complaints in the block become a UserError."""
    from dvc.config import ConfigError  # a second to import
    from dvc.exceptions import DvcException
    from dvc.repo import Repo

    refuse_unusable_folder(root)
    try:
        with contextlib.chdir(root), Repo() as repo:
            yield repo
    except ConfigError as error:
        where = ".dvc/config, .dvc/config.local, or your own: dvc config --list --show-origin"
        raise UserError(f"dvc: {' '.join(str(error).split())}; expected DVC's own options in {where}") from None
    except DvcException as error:
        reason = " ".join(str(error).split())
        todo = "; type: trackstack repair" if DVC_LOCK in reason or "RWLock-file" in reason else ""
        raise UserError(f"dvc: {reason}{todo}") from None


def with_followers(graph: Any, stages: Iterable[Any]) -> list[Any]:
    """Stages of DVC's graph, and all that follow from them: in order."""
    import networkx

    chosen = set(stages)
    chosen |= {follower for stage in chosen for follower in networkx.ancestors(graph, stage)}
    return [stage for stage in reversed(list(networkx.topological_sort(graph))) if stage in chosen]


def local_paths(entries: Iterable[Any], root: Path) -> set[Path]:
    """Where dependencies or outputs of DVC's lie, relative to the root; those elsewhere are left out."""
    paths = (Path(entry.fs_path) for entry in entries if entry.protocol == "local")
    return {path.relative_to(root.resolve()) for path in paths if path.is_relative_to(root.resolve())}


def split_name(parameter: str) -> tuple[str, str]:
    """File and name of a parameter as `-S` has it: `file:name`, or `name` for one of params.yaml."""
    file, colon, name = parameter.partition(":")
    return (file, name) if colon else (str(PARAMS_FILE), parameter)


def follows(stage: Any, parameters: Collection[str], root: Path) -> bool:
    """Whether a stage depends on one of the parameters: by `params`, `deps`, a template, or what generates it.

    Args:
        parameters: as `-S` has them, files relative to the root.
    """
    from dvc.dependency.param import ParamsDependency

    if not stage.cmd:
        return False
    templates = [stage.tracked_vars, _tracked_by_group(stage)]
    for file, name in map(split_name, parameters):
        followed = {entry for tracked in templates for entry in tracked.get(file, ())}
        for dep in stage.deps:
            if isinstance(dep, ParamsDependency) and local_paths([dep], root) == {Path(file)}:
                followed |= set(dep.params or [name])
            elif any(Path(file).is_relative_to(path) for path in local_paths([dep], root)):
                return True
        if any(_overlap(name, entry) for entry in followed):
            return True
    return False


def _tracked_by_group(stage: Any) -> dict[str, Any]:
    """The parameters in the `matrix` or `foreach` that a stage was generated from, by file."""
    if not (group := stage.raw_data.generated_from):
        return {}
    definition = stage.dvcfile.resolver.definitions[group]
    data = definition.matrix_data if hasattr(definition, "matrix_data") else definition.foreach_data
    with definition.context.track() as tracked:
        definition.context.resolve(data, unwrap=False)
    return dict(tracked)


def _overlap(one: str, other: str) -> bool:
    """Whether two dotted names are the same, or one of them is a section around the other."""
    parts = [name.replace("[", ".").replace("]", "").split(".") for name in (one, other)]
    return all(a == b for a, b in zip(*parts, strict=False))
