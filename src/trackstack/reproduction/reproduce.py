"""Make a recorded run again, and compare: what `trackstack reproduce` does."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import networkx
from dvc.repo.reproduce import get_active_graph

from trackstack import UserError
from trackstack.cluster.pipeline import open_repo
from trackstack.core.dvc_yaml import locked_stages, overlap
from trackstack.records.query import NoSuchRunError, every_run, find_run
from trackstack.records.verdicts import keep_verdict
from trackstack.reproduction.environment import make_environment
from trackstack.reproduction.expected import Expected, Recorded, expected_of, recorded_by_stage
from trackstack.reproduction.figures import largest_difference
from trackstack.reproduction.outputs import compare_output
from trackstack.reproduction.verdict import (
    CODE_SUFFIXES,
    DIFFERS,
    EQUAL,
    FIGURES,
    IDENTICAL,
    NOT_RECORDED,
    Inputs,
    Outcome,
    environment_differences,
    inputs_of,
    judge_stage,
    overall,
    undeclared,
)
from trackstack.reproduction.workplace import Workplace, edited_files, run_stages, workplace
from trackstack.sharing.pull import pull_runs
from trackstack.system.git import try_git
from trackstack.tracking.params import flatten
from trackstack.tracking.series import SeriesRecords
from trackstack.tracking.sinks import Series


class Options(NamedTuple):
    """How a run is made again."""

    stage: str | None = None
    """Only this one, on what the record has of the stages before it."""
    fresh_env: bool = False
    """In a new Python environment of the packages that it had."""
    folder: Path | None = None
    """Where; kept at the end. A folder that is removed by default."""
    tolerance: float = 1e-6
    """The largest relative difference of figures that counts as equal."""


def reproduce(
    key: str, home: Path, root: Path, options: Options, report: Callable[[str], None], commit: str | None = None
) -> dict[str, Any]:
    """Make a run again and return the verdict, which is kept with the run's record.

    Args:
        root: the DVC repository that has its source.
        commit: holds the source there; by default the one that the record names.
        report: is given a line for each thing that takes long.

    Returns:
        `verdict`, `cause`, `detail`; `stages`, each with its own and its `outputs`; `environment`, how it differs.

    Raises:
        UserError: no such run, source or data; or a stage failed.
    """
    fetch_unknown(key, home, root, report)
    expected = expected_of(key, home, root, commit)
    with workplace(expected, root, options.folder) as place:
        if options.fresh_env:
            make_environment(expected.environment, place.environment, report)
        ends = [options.stage] if options.stage else expected.ends
        stages = _stages(place, ends, expected if options.stage else None, report)
        edited = edited_files(place.checkout, expected.commit)
        run_stages(place, stages, report)
        verdict = judge(expected, place, stages, edited, options.tolerance)
    verdict |= {"run": expected.series.run, "series": expected.series.number, "fresh_env": options.fresh_env}
    try:
        return keep_verdict(expected.series, verdict)
    except OSError as error:
        report(f"{expected.series.folder}: {error.strerror}: the verdict is not in the run's record")
        return verdict


def fetch_unknown(key: str, home: Path, root: Path, report: Callable[[str], None]) -> None:
    """Pull a run that this home does not know.

    Raises:
        UserError: nobody has pushed it, or there is no remote.
    """
    try:
        find_run(home, key)
    except NoSuchRunError:
        if not try_git(root, "remote"):
            raise
        for problem in pull_runs([key], root, home).problems:
            report(problem)


def _stages(place: Workplace, ends: list[str], recorded: Expected | None, report: Callable[[str], None]) -> list[str]:
    """The addresses of the stages that are run, in order; UserError where the clone has not what they need.

    Args:
        recorded: whose outputs stand for those of the stages before them; None where these are run, too.
    """
    with open_repo(place.checkout) as repo:
        graph = get_active_graph(repo.index.graph)
        known = {stage.addressing: stage for stage in graph if stage.cmd}
        if unknown := [address for address in ends if address not in known]:
            raise UserError(f"{unknown[0]}: no such stage at the run's source; expected one of {', '.join(known)}")
        chosen = {known[address] for address in ends}
        if recorded is not None:
            _write_recorded(graph, recorded, repo)
        else:
            chosen |= {needed for end in list(chosen) for needed in networkx.descendants(graph, end) if needed.cmd}
        for stage in {stage for stage in chosen if stage.frozen}:
            report(f"{stage.addressing}: is frozen in its dvc.yaml: its recorded outputs are used, and not judged")
            chosen.remove(stage)
        if not chosen:
            raise UserError(f"{', '.join(ends)}: is frozen in its dvc.yaml, and DVC does not run it again")
        for stage in chosen:
            _refuse_missing(stage, chosen, repo)
        return [stage.addressing for stage in reversed(list(networkx.topological_sort(graph))) if stage in chosen]


def _write_recorded(graph: Any, recorded: Expected, repo: Any) -> None:
    """Give the clone, out of DVC's cache, the recorded outputs that its source knows nothing of yet."""
    from dvc_data.hashfile.hash_info import HashInfo

    known = {out["path"]: out for entry in recorded.entries.values() for out in entry.get("outs", [])}
    for out in (out for stage in graph for out in stage.outs if out.protocol == "local"):
        path = repo.fs.relpath(out.fs_path, repo.root_dir).replace("\\", "/")
        if out.use_cache and not out.exists and known.get(path, {}).get("hash") == "md5":
            out.hash_info = HashInfo("md5", known[path]["md5"])
            out.checkout(allow_missing=True)


def _refuse_missing(stage: Any, chosen: set[Any], repo: Any) -> None:
    """UserError where a dependency is not there and no stage that is run makes it."""
    made = {out.fs_path for other in chosen for out in other.outs if other.cmd}
    for dep in stage.deps:
        if dep.protocol == "local" and not dep.exists and not any(overlap(dep.fs_path, path) for path in made):
            path = repo.fs.relpath(dep.fs_path, repo.root_dir)
            raise UserError(
                f"{path}: stage {stage.addressing} needs it, and DVC's cache does not have it; trackstack pull RUN "
                "may bring it, after a trackstack push where it is"
            )


def judge(
    expected: Expected, place: Workplace, stages: list[str], edited: list[str], tolerance: float
) -> dict[str, Any]:
    """Compare what came out in a workplace with what was recorded.

    Args:
        edited: the files that are not as the run's source has them.
    """
    found, again = locked_stages(place.checkout), _counterpart(expected, every_run(place.home))
    environment = environment_differences(expected.environment, again.start["environment"]) if again else []
    recorded = recorded_by_stage(again) if again else {}
    data = expected.data | {out["path"] for entry in found.values() for out in entry.get("outs", [])}
    deps = {dep["path"] for entry in found.values() for dep in entry.get("deps", [])}
    data |= {path for path in deps if _holds_no_code(place.checkout / path)}
    declared = deps | {out["path"] for entry in found.values() for out in entry.get("outs", [])}
    others = undeclared(edited, declared, {file for entry in found.values() for file in entry.get("params", {})})
    verdicts = []
    for stage in stages:
        outcomes = list(_outcomes(expected, place, stage, found.get(stage, {}), tolerance))
        if stage in expected.recorded and not expected.is_rebuilt:  # whose figures were read from its outputs
            outcomes += _record_outcomes(expected.recorded[stage], recorded.get(stage), tolerance)
        inputs = _expected_inputs(expected, stage, data)
        now = inputs_of(found.get(stage, {}), data, others)
        verdicts.append(judge_stage(stage, outcomes, inputs, now, environment))
    first = next((stage for stage in verdicts if stage.cause), None)
    return {
        "verdict": overall(verdicts),
        "cause": first and first.cause,
        "detail": f"{first.stage}: {first.detail}" if first else "",
        "tolerance": tolerance,
        "stages": [
            stage._asdict() | {"outcomes": [outcome._asdict() for outcome in stage.outcomes]} for stage in verdicts
        ],
        "environment": environment,
    }


def _holds_no_code(path: Path) -> bool:
    return path.is_dir() and not any(file.suffix.lower() in CODE_SUFFIXES - {""} for file in path.rglob("*"))


def _counterpart(expected: Expected, every: list[SeriesRecords]) -> Series | None:
    """The run that was made again: several stages, or one of them several times, may have recorded runs."""
    same = [run.series for run in every if run.series.run == expected.series.run]
    stages = expected.recorded.keys()
    like = [run.series for run in every if any(record.get("stage") in stages for record in run.series.upstream)]
    return next(reversed([*like, *same]), None)


def _expected_inputs(expected: Expected, stage: str, data: set[str]) -> Inputs | None:
    if stage in expected.entries:
        return inputs_of(expected.entries[stage], data)
    if stage in expected.recorded:  # no dvc.lock has its outputs any more
        params = {
            f"{file}:{name}": value
            for file, values in expected.recorded[stage].params.items()
            for name, value in flatten(values).items()
        }
        return Inputs(None, params, {}, expected.hashes, {})
    return None


def _outcomes(
    expected: Expected, place: Workplace, stage: str, entry: dict[str, Any], tolerance: float
) -> Iterator[Outcome]:
    """Each output of a stage that was recorded, beside the one that lies in the workplace now."""
    before = {out["path"]: out for out in expected.entries.get(stage, {}).get("outs", [])}
    now = {out["path"]: out for out in entry.get("outs", [])}
    if stage not in expected.entries:
        yield Outcome("outputs", NOT_RECORDED, "no dvc.lock has them any more", has_figures=False)
    else:
        yield from (Outcome(path, NOT_RECORDED, "was no output then") for path in sorted(now.keys() - before.keys()))
    for path in sorted(before):
        if path not in now:
            yield Outcome(path, DIFFERS, "is no output any more")
        else:
            yield compare_output(path, before[path], now[path], place, tolerance)


def _record_outcomes(before: Recorded, again: Recorded | None, tolerance: float) -> Iterator[Outcome]:
    """The figures and the logged files of a stage beside those of its reproduction."""
    again = again or Recorded({}, {}, {})
    difference = largest_difference(before.figures, again.figures)
    if difference is None:
        alone = sorted(before.figures.keys() ^ again.figures.keys())
        which = f"{len(alone)} are in one of the records only, such as {alone[0]}" if alone else "not all are numbers"
        yield Outcome(FIGURES, DIFFERS, which)
    elif before.figures:
        apart = f"{len(before.figures)}, at most {difference:.1e} apart"
        verdict = IDENTICAL if not difference else EQUAL if difference <= tolerance else DIFFERS
        yield Outcome(FIGURES, verdict, apart if difference else f"all {len(before.figures)}")
    for name, digest in sorted(before.artifacts.items()):
        same = again.artifacts.get(name) == digest
        yield Outcome(
            f"logged {name}", IDENTICAL if same else DIFFERS, "" if same else "other bytes", has_figures=False
        )
    for name in sorted(again.artifacts.keys() - before.artifacts.keys()):
        yield Outcome(f"logged {name}", NOT_RECORDED, "was not logged then")
