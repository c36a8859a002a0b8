"""What a script hands over: JSON values and plain numbers, or a line that says what is wrong."""

from __future__ import annotations

import math
import operator
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.tracking.journal import LARGEST_STEP, LARGEST_VALUE

KINDS = ("file", "model", "plot", "report")
DATA_DEFAULTS: dict[str, Any] = {"path": "", "num_samples": None, "description": "", "digests": {}}


def check_name(name: Any) -> str:
    """The name of a run."""
    if not isinstance(name, str) or not name.strip():
        raise UserError(
            f"start_run: the name is {_shown(name)}; expected a text, such as start_run('my-model', params)"
        )
    return name


def plain_params(params: Any, what: str = "params") -> dict[str, Any]:
    """Parameters or a description of data as JSON values; NumPy's and torch's numbers become Python's.

    Raises:
        UserError: it is no dict, or something in it is no JSON value.
    """
    if params is None:
        return {}
    if not isinstance(params, Mapping):
        hint = "; type vars(args)" if hasattr(params, "__dict__") and not isinstance(params, type) else ""
        raise UserError(f"start_run: {what} is {_shown(params)}; expected a dict, such as {{'lr': 0.1}}{hint}")
    return _plain_dict(params, what)


def described_data(data: Any) -> dict[str, Any] | None:
    """The description of the dataset version, with all that back ends want to know of one.

    Raises:
        UserError: name or version are missing, or it says what none of them knows.
    """
    if data is None:
        return None
    plain = plain_params(data, "data")
    for key in ("name", "version"):
        if not isinstance(plain.get(key), str):
            raise UserError(
                f"start_run: data[{key!r}] is {_shown(plain.get(key))}; expected a text, "
                "such as data={'name': 'iris', 'version': '1'}"
            )
    if unknown := plain.keys() - {"name", "version", *DATA_DEFAULTS}:
        raise UserError(
            f"start_run: data has {min(unknown)!r}; expected name, version, {', '.join(DATA_DEFAULTS)}; "
            "what decides the result belongs to params"
        )
    return DATA_DEFAULTS | plain


def metrics(values: Any) -> dict[str, float]:
    """The values of metrics as numbers.

    Raises:
        UserError: which one is not one number, or has no name.
    """
    if not isinstance(values, Mapping):
        raise UserError(f"run.log: the first argument is {_shown(values)}; expected a dict, such as {{'loss': 0.5}}")
    return {_metric(name): value if type(value) is float else _number(name, value) for name, value in values.items()}


def step_number(step: Any) -> int:
    """A step as a whole number."""
    try:
        number = operator.index(step if type(step) is int else _item(step))
    except TypeError:
        raise UserError(f"run.log: step is {_shown(step)}; expected a whole number, such as step=epoch") from None
    if abs(number) > LARGEST_STEP:
        raise UserError(f"run.log: step is {_shown(step)}; expected one of at most 63 bits")
    return number


def artifact_path(path: Any, kind: Any) -> Path:
    """The path of a file or folder that is there."""
    if kind not in KINDS:
        raise UserError(f"run.log_artifact: kind is {_shown(kind)}; expected one of {', '.join(KINDS)}")
    try:
        found = Path(path)
    except TypeError:
        raise UserError(f"run.log_artifact: {_shown(path)} is no path; expected a file or a folder") from None
    if not found.exists():
        raise UserError(
            f"{found}: there is no such file or folder in {Path.cwd()}; run.log_artifact comes after it is written"
        )
    return found if found.name else found.resolve()


def _plain_dict(values: Mapping[Any, Any], where: str) -> dict[str, Any]:
    for key in values:
        if not isinstance(key, str):
            raise UserError(f"start_run: {where} has the key {_shown(key)}; expected texts as keys")
    return {key: _plain(value, f"{where}[{key!r}]") for key, value in values.items()}


def _plain(value: Any, where: str) -> Any:
    if isinstance(value, Mapping):
        return _plain_dict(value, where)
    if isinstance(value, list | tuple):
        return [_plain(item, f"{where}[{number}]") for number, item in enumerate(value)]
    value = _item(value)
    if isinstance(value, float) and not math.isfinite(value):
        raise UserError(f"start_run: {where} is {value}, which names no run; expected a number, or None")
    if value is None or isinstance(value, str | bool | int | float):
        return value
    hint = "; type str(...)" if isinstance(value, Path) else ""
    raise UserError(f"start_run: {where} is {_shown(value)}; expected a text, a number, a list or a dict{hint}")


def _metric(name: Any) -> str:
    if not isinstance(name, str) or not name.strip():
        raise UserError(f"run.log: a metric is called {_shown(name)}; expected a text")
    return name


def _number(name: str, value: Any) -> float:
    value = _item(value)
    if type(value) is int and abs(value) > LARGEST_VALUE:
        raise UserError(f"run.log: {name} is {_shown(value)}; expected a number that a float can hold")
    if type(value) in (int, float):
        return value
    if not isinstance(value, str | bytes | complex) and hasattr(value, "__float__"):
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
    raise UserError(f"run.log: {name} is {_shown(value)}; expected one number{_hint(value)}")


def _item(value: Any) -> Any:
    """The number in a scalar of NumPy, torch or their kind; anything else as it is."""
    if type(value) in (int, float, str, bool) or getattr(value, "size", None) is None:
        return value
    count = value.size if isinstance(value.size, int) else getattr(value, "numel", lambda: None)()
    return value.item() if count == 1 else value


def _hint(value: Any) -> str:
    return f", such as {type(value).__name__}.mean()" if getattr(value, "shape", None) else ""


def _shown(value: Any) -> str:
    """A value and its type, short enough for a line."""
    if shape := getattr(value, "shape", None):
        return f"{type(value).__name__} of shape {tuple(shape)}"
    text = " ".join(repr(value).split())
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
