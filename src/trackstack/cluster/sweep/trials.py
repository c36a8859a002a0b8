"""Which trials a sweep has: DVC's own expansion of `-S`, or a table; checked and named before anything runs."""

from __future__ import annotations

import copy
import csv
import itertools
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.cluster.clones import experiment_name
from trackstack.cluster.pipeline import follows, open_repo, split_name, with_followers
from trackstack.cluster.submit import Options, resources
from trackstack.cluster.sweep import Trial
from trackstack.core.digest import digest_json
from trackstack.core.params import PARAMS_FILE, load_yaml
from trackstack.system.project import load_hook


def expand(settings: list[str], table: Path | None, prefix: str | None) -> list[Trial]:
    """All trials, identical ones once: the product of the settings, for each row of the table.

    Args:
        settings: `-S` arguments in DVC's syntax, such as `train.lr=0.1,0.2` or `conf/train.toml:seed=range(3)`.
        table: a CSV file with parameter names as header and a trial per row.
        prefix: of the experiments' names; made from the trials by default.

    Raises:
        UserError: nothing to run, malformed settings, or parameters that their file does not have.
    """
    rows = _read_table(table) if table else [[]]
    files: dict[str, Any] = {}
    points: dict[str, list[str]] = {}
    for row, point in itertools.product(rows, expand_settings(settings)):
        overrides = [*row, *point]
        values = dict(map(_parsed, overrides))
        refuse_bad_values(files, values, overrides)
        points.setdefault(digest_json(values), overrides)
    if not points or not any(points.values()):
        raise UserError("nothing to sweep over; give -S section.parameter=value,value or --file trials.csv")
    prefix = prefix or f"s{digest_json(sorted(points))[:4]}"
    return [Trial(experiment_name(prefix, identity), overrides) for identity, overrides in points.items()]


def expand_settings(settings: list[str]) -> list[list[str]]:
    """All combinations of `-S` arguments, each a list of single settings; one without any where there are none."""
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import get_hydra_sweeps  # half a second to import

    if not settings:
        return [[]]
    for setting in settings:
        _refuse_bad_name(setting)
    try:
        points = get_hydra_sweeps(to_path_overrides(settings))
    except Exception as error:  # hydra, antlr and DVC each have their own
        raise UserError(f"-S {' '.join(settings)}: {str(error).splitlines()[0]}; expected name=value,value") from None
    return [[_with_file(file, override) for file in point for override in point[file]] for point in points]


def _with_file(file: str, override: str) -> str:
    return override if file == str(PARAMS_FILE) else f"{file}:{override}"


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


def _override(parameter: str, value: str) -> str:
    """A cell as a setting: quoted where the syntax would take it for something else."""
    from dvc.utils.hydra import to_hydra_overrides

    _refuse_bad_name(parameter)
    file, name = split_name(parameter)
    try:
        if not to_hydra_overrides([f"{name}={value}"])[0].is_sweep_override():
            return _with_file(file, f"{name}={value}")
    except Exception:  # no plain value: it is text
        pass
    return _with_file(file, f"{name}={quoted(value)}")


def quoted(text: str) -> str:
    """A text as a setting has it, whatever its characters."""
    # Hydra takes a backslash for itself, except before a quote.
    escaped = re.sub(r"(\\*)('|\Z)", lambda found: found[1] * 2 + ("\\'" if found[2] else ""), text)
    return f"'{escaped}'"


def _refuse_bad_name(setting: str) -> None:
    file, name = split_name(setting.partition("=")[0])
    if name.startswith(("+", "~")):
        raise UserError(f"-S {setting}: expected the name of a parameter that {file} has")
    if Path(file).is_absolute() or str(Path(file)) != file or ".." in Path(file).parts:
        raise UserError(f"-S {setting}: expected a file in this folder, such as conf/train.toml:lr=0.1,0.2")


def _parsed(override: str) -> tuple[str, Any]:
    """Name, with its file unless that is params.yaml, and value."""
    from dvc.utils.cli_parse import to_path_overrides
    from dvc.utils.hydra import to_hydra_overrides

    ((file, overrides),) = to_path_overrides([override]).items()
    (parsed,) = to_hydra_overrides(overrides)
    value = parsed.value()
    return _with_file(file, parsed.key_or_group), str(value) if type(value).__name__ == "QuotedString" else value


def refuse_bad_values(files: dict[str, Any], values: dict[str, Any], overrides: list[str]) -> None:
    """Validate a trial's parameters before hundreds of jobs find out: each is in its file, and the project agrees.

    Args:
        files: the content of each parameter file, read when it is needed.
    """
    for parameter in values:
        file, _ = split_name(parameter)
        if file not in files:
            files[file] = _load_parameters(file, parameter)
    trial = copy.deepcopy(files)
    for parameter, value in values.items():
        file, name = split_name(parameter)
        section, _, last = name.rpartition(".")
        place = trial[file]
        for part in filter(None, section.split(".")):
            place = place.get(part) if isinstance(place, dict) else None
        if not isinstance(place, dict) or last not in place:
            raise UserError(f"-S {parameter}: {file} has no such parameter")
        place[last] = value
    check = load_hook("check_params")
    if check is None or not PARAMS_FILE.exists():
        return
    try:
        check(trial.get(str(PARAMS_FILE)) or load_yaml(PARAMS_FILE))
    except UserError as error:
        raise UserError(f"-S {' '.join(overrides)}: {error}") from None


def _load_parameters(file: str, parameter: str) -> Any:
    from dvc.utils.serialize import LOADERS, ParseError

    path = Path(file)
    if not path.exists():
        hint = f"; a parameter of another file: -S params.json:{parameter}=VALUES" if path == PARAMS_FILE else ""
        raise UserError(f"-S {parameter}: {file}: no such file{hint}")
    if path.suffix not in (".json", ".toml", ".py"):
        return load_yaml(path)
    try:
        return LOADERS[path.suffix](file)
    except ParseError as error:
        raise UserError(f"{file}: {' '.join(str(error).split())}") from None


def split_pipeline(parameters: Collection[str], root: Path) -> tuple[list[str], dict[str, Options]]:
    """The last stages of those that a change of parameters leaves alone; the others, and what they ask of a job.

    A dvc.yaml of which no stage changes, and no stage is needed, is left out.

    Args:
        parameters: such as `train.lr` or `conf/train.toml:seed`.

    Raises:
        UserError: nothing would change.
    """
    import networkx

    with open_repo(root) as repo:
        graph = repo.index.graph
        changed = with_followers(graph, [stage for stage in graph if follows(stage, parameters, root)])
        if not changed:
            names = ", ".join(sorted(parameters))
            raise UserError(f"no stage of dvc.yaml follows {names}: every trial would be the same")
        files = {stage.path for stage in changed}
        reproduced = [stage for stage in graph if stage.path in files]
        kept = {*reproduced, *(needed for stage in reproduced for needed in networkx.descendants(graph, stage))}
        kept -= set(changed)
        ends = [stage for stage in kept if stage.cmd and not kept & set(graph.predecessors(stage))]
        return sorted(stage.addressing for stage in ends), {stage.addressing: resources(stage) for stage in changed}
