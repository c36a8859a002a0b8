"""Which runs are meant: `--where 'val_accuracy > 0.9 and train.model == "cnn"'`.

Python's own parser reads the expression, and the few kinds of nodes that `_Reader` knows are all that it may have:
nothing of it is ever run. As in SQL, what compares with a value that a run does not have, or with NaN, is neither
true nor false, and a run is meant when the whole is true.
"""

from __future__ import annotations

import ast
import difflib
import math
import operator
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, Protocol

from trackstack import UserError

EXAMPLE = "'val_accuracy > 0.9 and train.model == \"cnn\"'"
LONGEST = 1000
"""Characters: a person types no more, and Python's parser is safe with them."""
QUOTED = re.compile(r"""("[^"]*"|'[^']*')|`([^`]+)`""")
"""Texts, to be left alone; and a name in backticks, which may have any signs: `val/loss`."""
WORDS = {"true": True, "false": False, "null": None}
"""YAML's and JSON's spelling."""
MISSING = object()
OPERATORS: dict[type[ast.cmpop], Callable[[Any, Any], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Is: operator.eq,
    ast.IsNot: operator.ne,
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.In: lambda value, several: value in several,
    ast.NotIn: lambda value, several: value not in several,
}


class Values(Protocol):
    """The figures and dotted parameters of a run, as `RunValues` or a dict has them."""

    def get(self, name: str, default: Any = None, /) -> Any:
        """The value of a name."""


class Where(NamedTuple):
    """An expression that was read."""

    names: list[str]
    """The figures and parameters in it, in order."""
    condition: Callable[[Values], Any]

    def matches(self, values: Values) -> bool:
        """Whether a run is meant.

        Raises:
            UserError: a text is compared with a number by `<` or the like.
        """
        return self.condition(values) is True


def read_where(text: str) -> Where:
    """Read an expression.

    Raises:
        UserError: it is no comparison of figures and parameters.
    """
    quoted: dict[str, str] = {}

    def stand_in(match: re.Match[str]) -> str:
        if match[1]:
            return match[1]
        name = f"__quoted_{len(quoted)}"
        quoted[name] = match[2]
        return name

    try:
        if len(text) > LONGEST:
            raise _UnreadableError(f"longer than {LONGEST} characters")
        tree = ast.parse(QUOTED.sub(stand_in, text.strip()), mode="eval").body
        reader = _Reader(quoted)
        return Where(reader.names, reader.condition(tree))
    except _UnreadableError as error:
        reason = str(error)
    except (SyntaxError, ValueError):
        reason = "cannot be read; `==` compares, and a text stands in quotes" if "=" in text else "cannot be read"
    except (RecursionError, MemoryError):
        reason = "nested too deeply"
    raise UserError(f"--where {text}: {reason}; expected something such as {EXAMPLE}")


class RunValues:
    """What names mean in one run: `params.`, `metrics.` or `best.` before one says which is meant."""

    def __init__(
        self,
        figures: Mapping[str, float],
        best: Callable[[str], float | None],
        params: Callable[[], Mapping[str, Any]],
        facts: Mapping[str, Any],
    ):
        self._figures, self._best, self._params, self._facts = figures, best, params, facts

    def get(self, name: str, default: Any = None, /) -> Any:
        """The value of a name; the default where the run has none."""
        if name in self._figures:
            return self._figures[name]
        if name in self._facts:
            return self._facts[name]
        if name in (params := self._params()):  # last, as they may have to be read
            return params[name]
        kind, _, rest = name.partition(".")
        if kind == "best" and rest in self._figures:
            return self._best(rest)
        if kind in ("metrics", "params"):
            return (self._figures if kind == "metrics" else params).get(rest, default)
        return default


def refuse_ambiguous(what: str, names: Iterable[str], params: Collection[str], figures: Collection[str]) -> None:
    """Raise a UserError for the first name that is a parameter and a metric."""
    for name in names:
        if name in params and name in figures:
            raise UserError(f"{what}: {name} is a parameter and a metric; type params.{name} or metrics.{name}")


def known_names(params: Iterable[str], figures: Iterable[str]) -> set[str]:
    """With their prefixes, all names of parameters and figures."""
    metrics = {f"{kind}.{name}" for name in figures for kind in ("metrics", "best")}
    return {f"params.{name}" for name in params} | metrics


def refuse_unknown(
    what: str, names: Iterable[str], known: Collection[str], hint: str = "", runs: str = "finished run"
) -> None:
    """Raise a UserError for the first name that no run has, with the nearest of those that there are.

    Args:
        what: the option in which they stand, with its dashes.
        hint: what else the name may have been meant to be, after a semicolon.
        runs: which have been looked at.
    """
    for name in names:
        if name not in known:
            last = name.rpartition(".")[2]
            ends = [other for other in known if other.endswith(f".{last}")]
            near = list(dict.fromkeys([*ends, *difflib.get_close_matches(name, known, 3, 0.5)]))[:3]
            nearest = f"nearest: {', '.join(near)}" if near else "trackstack runs show lists what there is"
            raise UserError(f"{what} {name}: no {runs} has it; {nearest}{hint}")


class _UnreadableError(Exception):
    """Its text is the reason."""


class _Reader:
    """Makes functions of a parsed expression."""

    def __init__(self, quoted: dict[str, str]):
        self.names: list[str] = []
        self._quoted = quoted

    def condition(self, node: ast.expr) -> Callable[[Values], Any]:
        """A function that is True, False, or None where nobody can tell."""
        if isinstance(node, ast.BoolOp):
            parts = [self.condition(value) for value in node.values]
            decides = isinstance(node.op, ast.Or)

            def joined(values: Values) -> Any:
                outcome: bool | None = not decides
                for part in parts:
                    found = part(values)
                    if found is decides:  # the rest would have to be read for nothing
                        return decides
                    outcome = None if found is None else outcome
                return outcome

            return joined
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            inner = self.condition(node.operand)
            return lambda values: None if (found := inner(values)) is None else not found
        if isinstance(node, ast.Compare):
            sides = [self._value(side) for side in (node.left, *node.comparators)]
            pairs = [_comparison(op, *both) for op, *both in zip(node.ops, sides, sides[1:], strict=False)]
            if not self.names:
                raise _UnreadableError("compares no figure or parameter")

            def chained(values: Values) -> Any:
                found = [pair(values) for pair in pairs]
                return False if False in found else None if None in found else True

            return chained
        raise _UnreadableError(f"`{self._written(node)}` is no comparison")

    def _value(self, node: ast.expr) -> Callable[[Values], Any]:
        """A function that gives a name's value, or a constant."""
        if isinstance(node, ast.Name | ast.Attribute):
            name = self._written(node)
            if name in WORDS:
                return lambda _: WORDS[name]
            self.names.append(name)
            return lambda values: values.get(name, MISSING)
        try:
            constant = ast.literal_eval(node)
        except (ValueError, TypeError):
            raise _UnreadableError(f"`{self._written(node)}` is neither a name nor a value") from None
        constant = list(constant) if isinstance(constant, tuple) else constant
        return lambda _: constant

    def _written(self, node: ast.expr) -> str:
        text = ast.unparse(node)
        for name, meant in self._quoted.items():
            text = text.replace(name, meant)
        return text


def _comparison(
    op: ast.cmpop, left: Callable[[Values], Any], right: Callable[[Values], Any]
) -> Callable[[Values], bool | None]:
    compare = OPERATORS[type(op)]

    def outcome(values: Values) -> bool | None:
        a, b = left(values), right(values)
        if any(value is MISSING or (isinstance(value, float) and math.isnan(value)) for value in (a, b)):
            return None
        is_equality = compare in (operator.eq, operator.ne)
        if None in (a, b) and not is_equality:
            return None
        try:
            return compare(a, b)
        except TypeError:
            raise UserError(f"--where: {a!r} and {b!r} cannot be compared in this way; `==` and `!=` can") from None

    return outcome
