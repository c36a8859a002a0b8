"""Finished runs to choose from, and which of them had the same settings.

What a person set are the parameters that DVC has of a run's stage and of all stages upstream, with the hashes of the
data that `.dvc` files track. What the run recorded itself mostly follows from these, such as the test people from a
fold; where it does not, as in a script that no stage runs, it belongs to the settings, too.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Sequence
from itertools import compress
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.reading import Figures, figures_of, read_run, run_folders
from trackstack.records.where import refuse_unknown
from trackstack.tracking.params import flatten
from trackstack.tracking.sinks import Series
from trackstack.tracking.upstream import upstream_stages

AVERAGED = ("seed", "random_state", "fold")
"""The last parts of the names of parameters over which one averages unless told otherwise."""
LARGEST_EXACT = 2**53
"""Below it a float holds every whole number."""


class Candidate(NamedTuple):
    """A finished run."""

    series: Series
    every_figure: Figures
    params: dict[str, Any]
    """By dotted names, those of DVC and the run's own."""
    settings: dict[str, Any]
    """By dotted names: runs that are equal in these are repetitions."""

    @property
    def key(self) -> str:
        """The run's id."""
        return self.series.key

    @property
    def figures(self) -> dict[str, float]:
        """The last value of every metric."""
        return self.every_figure.last

    def best(self, metric: str) -> float | None:
        """The best value of a metric; see `Figures.best`."""
        return self.every_figure.best(metric)

    @property
    def names(self) -> set[str]:
        """Of everything that was set."""
        return self.params.keys() | self.settings.keys()

    def value(self, name: str) -> Any:
        """What a parameter, or something else that was set, is in this run; None where it has none."""
        return self.params.get(name, self.settings.get(name))


def read_candidates(home: Path) -> tuple[list[Candidate], list[str]]:
    """The finished runs, oldest first, and a line for whatever is left out.

    Of runs with equal settings the newest counts, with its re-executions, which chance made differ.

    Raises:
        UserError: there is none.
    """
    found: list[tuple[Series, Figures]] = []  # without the records, of which there may be millions
    notes, others = [], Counter[str]()
    for folder in run_folders(home):
        record = read_run(folder)
        if record.damage:
            notes.append(f"left out: {folder.name}: its record is damaged: {record.damage[0]}")
            continue
        for run in record.series:
            if run.series.status == "finished":
                found.append((run.series, figures_of(run)))
            else:
                others[run.series.status] += 1
    if others:
        states = ", ".join(f"{count} {status}" for status, count in sorted(others.items()))
        notes.append(f"left out: {others.total()} not finished ({states})")
    if not found:
        none = f"no finished run is recorded in {home / 'runs'}"
        raise UserError("; ".join([none, *notes, "trackstack runs list shows what there is"]))
    kept, outdated = without_outdated(as_candidates(found))
    return kept, notes + outdated


def as_candidates(runs: Sequence[tuple[Series, Figures]]) -> list[Candidate]:
    """Runs in any state with their parameters and settings."""
    # A record that was rebuilt from DVC's has the hashes of data among those of its stages alone.
    data_paths = {
        data["path"] for series, _ in runs for upstream in series.upstream for data in upstream.get("data", [])
    }
    return _with_own_settings([_candidate(*run, data_paths) for run in runs])


def without_outdated(runs: list[Candidate]) -> tuple[list[Candidate], list[str]]:
    """Of runs with equal settings the newest, with its re-executions; and a line for each of the others."""
    settings = [comparable(run.settings) for run in runs]
    newest = dict(zip(settings, runs, strict=True))
    kept, notes = [], []
    for run, same in zip(runs, settings, strict=True):
        newer = newest[same]
        if run is newer or _origin(run) == _origin(newer):
            kept.append(run)
        else:
            notes.append(
                f"left out: {run.key}: {newer.key} is newer and has the same parameters, from other code or data"
            )
    return kept, notes


def averaged_params(runs: list[Candidate], over: str | None) -> list[str]:
    """The parameters over which runs are averaged, as `settings` calls them.

    Args:
        over: names with commas between them, none for none; by default those that are called like seeds and folds.

    Raises:
        UserError: a name that no run has.
    """
    settings = sorted({name for run in runs for name in run.settings})
    if over is None:
        return [name for name in settings if name.rpartition(".")[2] in AVERAGED]
    names = [name.strip() for name in over.split(",") if name.strip()]
    refuse_unknown("--over", names, set().union(*(run.names for run in runs)))
    meant = []
    for name in names:
        # A script that logs its section of the parameters calls `seed` what DVC calls `train.seed`.
        same = [other for other in settings if other.endswith(f".{name}")]
        if name not in settings and len(same) != 1:
            which = f"DVC's name is wanted: {', '.join(same)}" if same else "it follows from other parameters"
            raise UserError(f"--over {name}: runs are not told apart by it; {which}")
        meant.append(name if name in settings else same[0])
    return meant


def comparable(values: Any) -> str:
    """Equal for equal values, be a number whole or not: `0` and `0.0` are the same parameter."""
    return json.dumps(_as_floats(values), sort_keys=True)


def _candidate(series: Series, figures: Figures, data_paths: set[str]) -> Candidate:
    start, declared = series.start, declared_params(series)
    upstream = start.get("upstream") or {}
    deps = [dep for entry in upstream.get("stages", {}).values() for dep in entry.get("deps", [])]
    data = [item for item in (*deps, *upstream.get("data", [])) if item["path"] in data_paths and "md5" in item]
    settings = {"stage": upstream.get("stage") or start["stage"], **declared}
    settings |= {item["path"]: item["md5"][:10] for item in data}
    if not upstream and start["stage"] == "run":  # the name is all that tells two scripts from each other
        settings["name"] = start["name"]
    return Candidate(series, figures, declared | flatten(start["params"]), settings)


def declared_params(series: Series) -> dict[str, Any]:
    """What DVC has of the parameters of a stage and of all upstream of it, by dotted names.

    A name that stands in two files has the file before it in the second one: `conf.json:lr`.
    """
    upstream = series.start.get("upstream") or {}
    stages, own = upstream.get("stages", {}), upstream.get("params", {})
    if "rebuilt" in series.start["tags"]:  # its record has all stages, its own and those that follow among them
        entry = stages.get(upstream["stage"], {})
        stages = upstream_stages([dep["path"] for dep in entry.get("deps", [])], stages)
        own = entry.get("params", {})
    files: dict[str, dict[str, Any]] = defaultdict(dict)
    for params in (*(entry.get("params", {}) for entry in stages.values()), own):
        for file, values in params.items():
            files[file] |= flatten(values or {})
    found: dict[str, Any] = {}
    for file in sorted(files, key=lambda file: (file != "params.yaml", file)):
        found |= {name if name not in found else f"{file}:{name}": value for name, value in files[file].items()}
    return found


def _with_own_settings(runs: list[Candidate]) -> list[Candidate]:
    """Add to the settings what runs recorded themselves and what does not follow from what DVC has of them."""
    values: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    of_dvc = [bool(declared_params(run.series)) for run in runs]
    for run in compress(runs, of_dvc):
        of_setting = values[comparable(run.settings)]
        for name, value in run.params.items():
            of_setting[name].add(comparable(value))
    free = {name for by_name in values.values() for name, found in by_name.items() if len(found) > 1}
    added = []
    for run, has_params_of_dvc in zip(runs, of_dvc, strict=True):
        names = free if has_params_of_dvc else run.params
        own = {name: run.params[name] for name in names if name in run.params}
        added.append(run._replace(settings=own | run.settings))
    return added


def _as_floats(values: Any) -> Any:
    if isinstance(values, dict):
        return {name: _as_floats(value) for name, value in values.items()}
    if isinstance(values, list | tuple):
        return [_as_floats(value) for value in values]
    is_whole = isinstance(values, int) and not isinstance(values, bool)
    return float(values) if is_whole and abs(values) < LARGEST_EXACT else values


def _origin(run: Candidate) -> str:
    return comparable([run.series.run, run.series.start.get("upstream")])
