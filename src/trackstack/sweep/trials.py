"""Which trials a sweep has: DVC's own expansion of `-S`, or a table; checked and named before anything runs."""

from __future__ import annotations

import contextlib
import copy
import csv
import itertools
from collections.abc import Collection, Iterable
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.catalog import load_dataset
from trackstack.clones import experiment_name
from trackstack.digest import digest_json
from trackstack.losses import LOSSES
from trackstack.metrics import METRICS
from trackstack.models import MODELS
from trackstack.params import PARAMS_FILE, Params, load_yaml, validate
from trackstack.submit import Options, resources, with_followers
from trackstack.sweep import Trial


def expand(settings: list[str], table: Path | None, prefix: str | None) -> list[Trial]:
    """All trials, identical ones once: the product of the settings, for each row of the table.

    Args:
        settings: `-S` arguments in DVC's syntax, such as `train.lr=0.1,0.2` or `train.seed=range(3)`.
        table: a CSV file with parameter names as header and a trial per row.
        prefix: of the experiments' names; made from the trials by default.

    Raises:
        UserError: nothing to run, malformed settings, or parameters that params.yaml does not allow.
    """
    rows = _read_table(table) if table else [[]]
    params = load_yaml(PARAMS_FILE)
    points: dict[str, list[str]] = {}
    for row, point in itertools.product(rows, _product(settings)):
        overrides = [*row, *point]
        values = dict(map(_parsed, overrides))
        _refuse_bad_values(copy.deepcopy(params), values, overrides)
        points.setdefault(digest_json(values), overrides)
    if not points or not any(points.values()):
        raise UserError("nothing to sweep over; give -S section.parameter=value,value or --file trials.csv")
    prefix = prefix or f"s{digest_json(sorted(points))[:4]}"
    return [Trial(experiment_name(prefix, identity), overrides) for identity, overrides in points.items()]


def _product(settings: list[str]) -> list[list[str]]:
    from dvc.utils.hydra import get_hydra_sweeps  # half a second to import

    if not settings:
        return [[]]
    for setting in settings:
        _refuse_other_files(setting)
    try:
        return [point[str(PARAMS_FILE)] for point in get_hydra_sweeps({str(PARAMS_FILE): settings})]
    except Exception as error:  # hydra, antlr and DVC each have their own
        raise UserError(f"-S {' '.join(settings)}: {str(error).splitlines()[0]}; expected name=value,value") from None


def _read_table(path: Path) -> list[list[str]]:
    with path.open(newline="", encoding="utf-8") as file:
        reader = csv.DictReader(file)
        rows = [row for row in reader if any(row.values())]
        for number, row in enumerate(rows, 2):
            if None in row or None in row.values():
                raise UserError(f"{path}: line {number}: expected {len(reader.fieldnames or [])} values")
    if not rows:
        raise UserError(f"{path}: no trials; expected a header of parameter names, and a row of values per trial")
    return [[_override(name, value.strip()) for name, value in row.items()] for row in rows]


def _override(name: str, value: str) -> str:
    """A cell as a setting: quoted where the syntax would take it for something else."""
    from dvc.utils.hydra import to_hydra_overrides

    _refuse_other_files(name)
    try:
        if not to_hydra_overrides([f"{name}={value}"])[0].is_sweep_override():
            return f"{name}={value}"
    except Exception:  # no plain value: it is text
        pass
    escaped = value.replace("\\", "\\\\").replace("'", "\\'")
    return f"{name}='{escaped}'"


def _refuse_other_files(setting: str) -> None:
    name = setting.partition("=")[0]
    if ":" in name or name.startswith(("+", "~")):
        raise UserError(f"-S {setting}: expected the name of a parameter in {PARAMS_FILE}")


def _parsed(override: str) -> tuple[str, Any]:
    from dvc.utils.hydra import to_hydra_overrides

    parsed = to_hydra_overrides([override])[0]
    value = parsed.value()
    return parsed.key_or_group, str(value) if type(value).__name__ == "QuotedString" else value


def _refuse_bad_values(params: dict[str, Any], values: dict[str, Any], overrides: Iterable[str]) -> None:
    """Hold the parameters of a trial against what `params.yaml` may hold, before hundreds of jobs find out."""
    for name, value in values.items():
        section, _, last = name.rpartition(".")
        place = params
        for part in filter(None, section.split(".")):
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise UserError(f"-S {name}: {PARAMS_FILE} has no such parameter")
        place[last] = value
    try:
        checked = validate(Params, params, PARAMS_FILE)
        if "dataset" in values:
            load_dataset(checked.dataset)
        MODELS.check(checked.train.model, checked.models)
        LOSSES.check(checked.train.loss, checked.losses)
        METRICS.check(checked.train.metric, checked.metrics)
    except UserError as error:
        raise UserError(f"-S {' '.join(overrides)}: {error}") from None


def split_pipeline(names: Collection[str], root: Path) -> tuple[list[str], dict[str, Options]]:
    """The last stages of those that a change of parameters leaves alone; the others, and what they ask of a job.

    Raises:
        UserError: nothing would change.
    """
    from dvc.repo import Repo

    with contextlib.chdir(root), Repo() as repo:
        graph = repo.index.graph
        changed = with_followers(graph, [stage for stage in graph if _tracked(stage, names)])
        if not changed:
            raise UserError(f"no stage of dvc.yaml follows {', '.join(sorted(names))}: every trial would be the same")
        kept = [stage for stage in with_followers(graph, graph) if stage not in changed]
        ends = [stage.addressing for stage in kept if stage.cmd and not set(kept) & set(graph.predecessors(stage))]
        return ends, {stage.addressing: resources(stage) for stage in changed}


def _tracked(stage: Any, names: Collection[str]) -> bool:
    """Whether a stage depends on one of the parameters, by its `params` or by a template."""
    from dvc.dependency.param import ParamsDependency

    if not stage.cmd:
        return False
    entries = set(stage.tracked_vars.get(str(PARAMS_FILE), ()))
    for dep in stage.deps:
        entries |= (
            set(dep.params) if isinstance(dep, ParamsDependency) and dep.def_path == str(PARAMS_FILE) else set()
        )
    pairs = itertools.product((f"{name}." for name in names), (f"{entry}." for entry in entries))
    return any(name.startswith(entry) or entry.startswith(name) for name, entry in pairs)
