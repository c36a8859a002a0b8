"""The verdict on a reproduced run: pure functions from what was recorded and what came out.

Of each stage: `identical` (every output, byte for byte), `equal` (figures within the tolerance) or `differs`, with
the first cause of this order: code, parameters, data, environment, or none of them, which is chance.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import PurePosixPath
from typing import Any, NamedTuple

from trackstack.core.dvc_yaml import DVC_LOCK, DVC_YAML, overlap
from trackstack.tracking.params import flatten

IDENTICAL, NOT_RECORDED, EQUAL, DIFFERS = "identical", "not recorded", "equal", "differs"
VERDICTS = (IDENTICAL, NOT_RECORDED, EQUAL, DIFFERS)
"""From the best to the worst; what nobody has recorded was made again, and is compared with nothing."""
FIGURES = "figures of the run"
CODE_SUFFIXES = {
    *(
        ".awk",
        ".bash",
        ".c",
        ".cc",
        ".cpp",
        ".cu",
        ".h",
        ".hpp",
        ".ipynb",
        ".java",
        ".jl",
        ".js",
        ".lua",
        ".m",
        ".pl",
    ),
    *(".py", ".pyx", ".r", ".rs", ".sh", ".sql", ".ts"),
}
UNKNOWN = "unknown"
"""The device of a run whose record was rebuilt."""
NOT_COMPARED = ("host", "user", "drift")
"""Of the environment: they name a place, or follow from the rest."""
ENVIRONMENT_ORDER = (
    "python",
    "packages",
    "variables",
    "driver",
    "device",
    "processor",
    "cores",
    "container",
    "modules",
)


class Outcome(NamedTuple):
    """One output of a stage, or the figures or a file of its record, beside what it was."""

    what: str
    verdict: str
    detail: str = ""
    has_figures: bool = True
    """Whether its content could be compared as numbers: bytes alone say nothing of how far apart they are."""


class StageVerdict(NamedTuple):
    """How a stage came out, and why not as it was."""

    stage: str
    verdict: str
    outcomes: list[Outcome]
    cause: str | None = None
    detail: str = ""


class Inputs(NamedTuple):
    """What a stage was given: its entry of dvc.lock, as far as it was recorded."""

    command: str | None
    params: dict[str, Any]
    """By `file:name`."""
    code: dict[str, str]
    """Hash by path."""
    data: dict[str, str]
    edited: dict[str, bool]
    """Whether it is code, by path, of what is not as it was: a stage may read what its dvc.yaml does not say."""


def inputs_of(
    entry: dict[str, Any],
    data_paths: Collection[str],
    edited: dict[str, bool] | None = None,
) -> Inputs:
    """The inputs that an entry of dvc.lock names.

    Args:
        data_paths: what DVC tracks, and what stages make; of other dependencies the suffix tells code from data.
        edited: see `undeclared`.
    """
    params = {
        f"{file}:{name}": value
        for file, values in entry.get("params", {}).items()
        for name, value in flatten(values).items()
    }
    hashes = {dep["path"]: dep.get("md5", "") for dep in entry.get("deps", [])}
    code = {path: value for path, value in hashes.items() if path not in data_paths and _is_code(path)}
    data = {path: value for path, value in hashes.items() if path not in code}
    return Inputs(entry.get("cmd"), params, code, data, edited or {})


def undeclared(edited: Collection[str], declared: Collection[str], params: Collection[str]) -> dict[str, bool]:
    """Those of the edited files that no stage depends on or makes, and whether each is code.

    Args:
        params: the files of parameters, which are none, whatever their suffix.
    """
    return {
        path: path not in params and (_is_code(path) or PurePosixPath(path).name == DVC_YAML)
        for path in edited
        if PurePosixPath(path).name not in (DVC_LOCK, ".gitignore")  # which DVC writes
        and PurePosixPath(path).suffix != ".dvc"
        and not any(overlap(path, other) for other in declared)
    }


def _is_code(path: str) -> bool:
    """A file with a suffix of code, or a name without one, which is a folder's or a program's."""
    return PurePosixPath(path).suffix.lower() in CODE_SUFFIXES | {""}


def judge_stage(
    stage: str, outcomes: list[Outcome], expected: Inputs | None, found: Inputs, environment: list[str]
) -> StageVerdict:
    """The verdict on a stage.

    Args:
        expected: what it was given in the recorded run; None where nobody has recorded it.
        environment: how the environment differs, a text each.
    """
    verdict = _worst(outcomes)
    if all(outcome.verdict in (IDENTICAL, NOT_RECORDED) for outcome in outcomes):
        return StageVerdict(stage, verdict, outcomes)
    return StageVerdict(stage, verdict, outcomes, *first_cause(expected, found, environment))


def _worst(outcomes: list[Outcome]) -> str:
    """Where outputs were not recorded, or their bytes differ and are no figures, the figures of the record count."""
    recorded = [outcome.verdict for outcome in outcomes if outcome.what == FIGURES]
    if not recorded or DIFFERS in recorded:
        return max((outcome.verdict for outcome in outcomes), key=VERDICTS.index, default=NOT_RECORDED)
    unreadable = [outcome for outcome in outcomes if not outcome.has_figures and outcome.verdict != IDENTICAL]
    judged = [EQUAL if outcome in unreadable else outcome.verdict for outcome in outcomes]
    return max(judged, key=VERDICTS.index)


def first_cause(expected: Inputs | None, found: Inputs, environment: list[str]) -> tuple[str, str]:
    """The first that differs, and what of it."""
    code, params, data = _changed_inputs(expected, found)
    code += [_edited(path) for path, is_code in found.edited.items() if is_code]
    others = [_edited(path) for path, is_code in found.edited.items() if not is_code]
    for cause, differing in (
        ("code", code),
        ("parameters", params),
        ("data", data),
        ("environment", environment),
        ("data", others),
    ):
        if differing:
            return cause, _some(differing)
    return "chance", "all that was recorded of code, parameters, data and environment is the same"


def _edited(path: str) -> str:
    return path if PurePosixPath(path).name == DVC_YAML else f"{path}, on which no stage depends"


def _changed_inputs(expected: Inputs | None, found: Inputs) -> tuple[list[str], list[str], list[str]]:
    """What differs of code, parameters and data; of a stage without an entry of dvc.lock only what was recorded."""
    if expected is None:
        return [], [], []
    params = [
        f"{name}: {_brief(expected.params.get(name))}, now {_brief(found.params.get(name))}"
        for name in _differing(expected.params, found.params)
    ]
    if expected.command is None:
        return [], params, [path for path, value in expected.data.items() if found.data.get(path) != value]
    code = _differing(expected.code, found.code)
    if expected.command != found.command:
        code.insert(0, f"its command was {expected.command!r}")
    return code, params, _differing(expected.data, found.data)


def environment_differences(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    """How the environment of a run differs from a recorded one: a text for each package and setting.

    What was not recorded, as in the record of an older trackstack, is not compared.
    """
    texts = []
    is_whole = "variables" in expected  # what was not there was left out; an older record does not say
    for part in [*ENVIRONMENT_ORDER, *sorted({*expected, *found} - {*ENVIRONMENT_ORDER, *NOT_COMPARED})]:
        before, now = expected.get(part), found.get(part)
        if before == now or (not is_whole and before in (None, {}, UNKNOWN)):
            continue
        if isinstance(before, dict) or isinstance(now, dict):
            before, now = before or {}, now or {}
            texts += [
                f"{name} {before.get(name, 'not there')}, now {now.get(name, 'not there')}"
                for name in _differing(before, now)
            ]
        else:
            was, is_now = ("not there" if value is None else _brief(value) for value in (before, now))
            texts.append(f"{part} {was}, now {is_now}")
    return texts


def overall(stages: list[StageVerdict]) -> str:
    """The worst of the stages' verdicts."""
    return max((stage.verdict for stage in stages), key=VERDICTS.index, default=IDENTICAL)


def _differing(expected: dict[str, Any], found: dict[str, Any]) -> list[str]:
    return [name for name in sorted({*expected, *found}) if expected.get(name) != found.get(name)]


def _brief(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:60]}…"


def _some(texts: list[str], most: int = 5) -> str:
    more = f"; and {len(texts) - most} more" if len(texts) > most else ""
    return "; ".join(texts[:most]) + more
