"""What a search may try: a YAML file with the names of parameters, each with a range or a choice.

train.lr: {log: [1e-4, 1e-1]}                   # numbers, evenly by their logarithm
train.warmup: {range: [0.0, 0.3]}               # numbers
train.epochs: {range: [10, 40], step: 10}       # whole numbers, both ends included
train.model: {choice: [cnn, mlp]}
models.cnn.kernel: {choice: [3, 5, 7], when: {train.model: cnn}}
conf.json:optimizer.momentum: {range: [0.0, 0.9]}         # a parameter of another file
"""

from __future__ import annotations

import itertools
import json
import math
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.cluster.sweep.trials import quoted
from trackstack.core.params import load_yaml

KINDS = ("range", "log", "choice")
EXPECTED = "expected one of {log: [1e-4, 1e-1]}, {range: [1, 8]}, {choice: [a, b]}"


class Parameter(NamedTuple):
    """One parameter of a space."""

    name: str
    kind: str
    """range, log or choice."""
    values: list[Any]
    """The two ends, or what there is to choose from."""
    step: float | None
    when: dict[str, Any]
    """It counts only in trials where these parameters have these values."""

    @property
    def is_whole(self) -> bool:
        """Whether it is a range of whole numbers."""
        return self.kind != "choice" and isinstance(self.values[0], int)

    @property
    def levels(self) -> list[Any] | None:
        """All its values, where they can be counted."""
        if self.kind == "choice":
            return self.values
        low, high = self.values
        if self.step is None and not (self.is_whole and self.kind == "range"):
            return None
        step = self.step or 1
        count = math.floor((high - low) / step + 1e-9) + 1
        return [low + number * step for number in range(count)]

    def at(self, part: float) -> Any:
        """The value at a fraction of the way from its low end to its high end, or through the choices.

        Args:
            part: in [0, 1).
        """
        if (levels := self.levels) is not None:
            return levels[int(part * len(levels))]
        low, high = self.values
        if self.kind == "log" and self.is_whole:  # each whole number has the stretch around it
            return math.floor(math.exp(_between(math.log(low - 0.5), math.log(high + 0.5), part)) + 0.5)
        if self.kind == "log":
            return math.exp(_between(math.log(low), math.log(high), part))
        return _between(low, high, part)

    def counts_with(self, values: dict[str, Any]) -> bool:
        """Whether it counts in a trial with these values."""
        return all(name in values and values[name] == value for name, value in self.when.items())


Space = list[Parameter]


def read_space(path: Path) -> dict[str, Any]:
    """The content of a space's file; UserError when it is no mapping, or empty."""
    if not path.exists():
        raise UserError(f"{path}: no such file; a line of it could be  train.lr: {{log: [1e-4, 1e-1]}}")
    content = load_yaml(path)
    if not isinstance(content, dict) or not content:
        raise UserError(f"{path}: expected a line for each parameter, such as  train.lr: {{log: [1e-4, 1e-1]}}")
    return content


def parse_space(content: dict[str, Any], path: Path | str) -> Space:
    """The parameters, each behind those that it depends on.

    Raises:
        UserError: one of them is no range and no choice, or depends on what does not come before it.
    """
    space: Space = []
    for name, entry in content.items():
        try:
            parameter = _parse(str(name), entry)
            _check_condition(parameter, space)
        except ValueError as error:
            raise UserError(f"{path}: {name}: {error}") from None
        space.append(parameter)
    return space


def overrides_of(values: dict[str, Any]) -> list[str]:
    """A proposal as `-S` takes it."""
    return [f"{name}={_literal(value)}" for name, value in values.items()]


def probes(space: Space) -> list[dict[str, Any]]:
    """Trials that have each end of each range, and each choice, at least once."""
    found = []
    for parameter in space:
        for value in parameter.values:
            trial: dict[str, Any] = {parameter.name: value}
            _fulfil(parameter, space, trial)
            for other in space:
                if other.name not in trial and other.counts_with(trial):
                    trial[other.name] = other.values[0]
            found.append({other.name: trial[other.name] for other in space if other.name in trial})
    return found


def _fulfil(parameter: Parameter, space: Space, trial: dict[str, Any]) -> None:
    by_name = {other.name: other for other in space}
    for name, value in parameter.when.items():
        trial[name] = value
        _fulfil(by_name[name], space, trial)


def _parse(name: str, entry: Any) -> Parameter:
    if not isinstance(entry, dict) or len(kinds := [kind for kind in KINDS if kind in entry]) != 1:
        raise ValueError(EXPECTED)
    kind = kinds[0]
    if unknown := set(entry) - {kind, "step", "when"}:
        raise ValueError(f"{sorted(map(str, unknown))[0]}: unknown; expected {kind}, step or when")
    values, step, when = entry[kind], entry.get("step"), entry.get("when") or {}
    if not isinstance(values, list) or not isinstance(when, dict):
        raise ValueError(EXPECTED + ", and of when: {train.model: cnn}")
    if kind == "choice":
        _check_choice(values, step)
    else:
        values = _ends(kind, values)
        step = _step(kind, values, step)
    return Parameter(name, kind, values, step, when)


def _check_choice(values: list[Any], step: Any) -> None:
    if step is not None:
        raise ValueError("step is for a range, not for a choice")
    for value in values:
        if not all(map(_is_scalar, value if isinstance(value, list) else [value])):
            raise ValueError(f"{_shown(value)}: expected a text, a number, true, false, null, or a list of such")
    if not values or any(one == other for one, other in itertools.combinations(values, 2)):  # as 1, 1.0 and true are
        raise ValueError("expected one value or more, each of them once")


def _is_scalar(value: Any) -> bool:
    return isinstance(value, str | int | bool | None) or (isinstance(value, float) and math.isfinite(value))


def _shown(value: Any) -> str:
    return json.dumps(value, default=str)  # YAML also makes dates


def _ends(kind: str, values: list[Any]) -> list[Any]:
    ends = [_number(value) for value in values]
    if len(ends) != 2:
        raise ValueError("expected two ends, the lower one first")
    low, high = ends
    if isinstance(low, int) != isinstance(high, int):
        raise ValueError(f"[{low}, {high}]: whole numbers, or [{float(low)}, {float(high)}]? Write both ends alike")
    if not low < high:
        raise ValueError(f"[{low}, {high}] is empty; expected the lower end first")
    if kind == "log" and low <= 0:
        raise ValueError(f"{low} has no logarithm; expected ends above 0, or range")
    return ends


def _number(value: Any) -> int | float:
    if isinstance(value, str):  # YAML takes 1e-4 for a text
        try:
            value = float(value)
        except ValueError:
            raise ValueError(f"{value}: expected a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError(f"{value}: expected a number")
    return value


def _step(kind: str, values: list[Any], step: Any) -> float | None:
    if step is None:
        return None
    if kind == "log":
        raise ValueError("step is for a range, not for log")
    step = _number(step)
    if step <= 0 or (isinstance(values[0], int) and not isinstance(step, int)):
        raise ValueError(f"step {step}: expected a {'whole ' if isinstance(values[0], int) else ''}number above 0")
    low, high, each = (Decimal(str(number)) for number in (*values, step))
    if high - low < each:
        raise ValueError(f"step {step}: expected at most {high - low}, from one end to the other")
    if (high - low) % each:
        last = type(values[0])(high - (high - low) % each)
        raise ValueError(f"step {step} does not lead from {low} to {high}; expected an end like [{low}, {last}]")
    return step


def _check_condition(parameter: Parameter, before: Space) -> None:
    known = {other.name: other for other in before}
    for name, value in parameter.when.items():
        if name not in known:
            raise ValueError(f"when: {name} does not come before it in this file")
        levels = known[name].levels
        if levels is None or value not in levels:
            raise ValueError(f"when: {name} is never {_shown(value)}")


def _between(low: float, high: float, part: float) -> float:
    return low + (high - low) * part


def _literal(value: Any) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, list):
        return f"[{','.join(map(_literal, value))}]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    return repr(value)
