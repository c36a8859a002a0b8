"""`params.yaml` as frozen, typed values: unknown keys, wrong types and values out of range are refused.

Each section is described by a pydantic model beside the code that uses it, such as `pipeline/train/params.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
)

from trackstack import UserError, describe_error

PARAMS_FILE = Path("params.yaml")


def _refuse_bool(value: Any) -> Any:
    # YAML's `yes` and `on` are booleans, and pydantic would take them for 1.0.
    if isinstance(value, bool):
        raise ValueError("expected a number")
    return value


# Bounds that no sensible value reaches, so that a slip of the finger is a line and not an overflow.
LARGEST = 2**31 - 1
Count = Annotated[int, Field(strict=True, ge=1, le=LARGEST)]
Index = Annotated[int, Field(strict=True, ge=0, le=LARGEST)]
Threads = Annotated[int, Field(strict=True, ge=1, le=1024)]
# Not strict: PyYAML reads 1e-3 (without a point) as text.
Number = Annotated[float, BeforeValidator(_refuse_bool), Field(allow_inf_nan=False)]
NonNegative = Annotated[Number, Field(ge=0, le=1e6)]
Positive = Annotated[Number, Field(gt=0, le=1e6)]
Fraction = Annotated[Number, Field(ge=0, lt=1)]


class Section(BaseModel):
    """Base of every typed piece of configuration: frozen, and closed to unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


T = TypeVar("T", bound=BaseModel)


class _Loader(yaml.SafeLoader):
    """Refuses a key that is there twice, where YAML would let the last one win without a word."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: set[Any] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue  # a list or a mapping: refused below
            if key.value in seen:
                raise yaml.MarkedYAMLError(
                    problem=f"the key {key.value!r} is there twice", problem_mark=key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


class Parameters:
    """The content of `params.yaml`: a section is validated when somebody asks for it, and `used` from then on.

    Args:
        values: the parsed file.
        path: the file, for messages.
    """

    def __init__(self, values: Any, path: Path = PARAMS_FILE):
        if not isinstance(values, dict):
            raise UserError(f"{path}: expected sections with a name each, such as train:")
        self.values, self.path = values, path
        self.used: set[str] = set()
        self._defaults: list[tuple[Path, str]] = []

    @classmethod
    def load(cls, path: Path = PARAMS_FILE) -> Parameters:
        """Read the file; UserError when it is missing or malformed."""
        return cls(load_yaml(path), path)

    def get(self, name: str) -> Any:
        """The value at a dotted name, as it is; UserError when there is none."""
        self.used.add(name)
        value: Any = self.values
        for depth, key in enumerate(name.split("."), 1):
            if not isinstance(value, dict) or key not in value:
                raise UserError(f"{self.path}: {'.'.join(name.split('.')[:depth])} is missing")
            value = value[key]
        return value

    def fill_nulls(self, path: Path, key: str) -> None:
        """Where a parameter is null, take the value of its name below a dotted key of another file, if one is there.

        Raises:
            UserError: the other file has no such key, or null there, too.
        """
        try:
            self.values = _filled(self.values, Parameters.load(path).get(key))
        except ValueError as error:
            raise UserError(
                f"{self.path}: {error} is null, and {path}: {key}.{error} is, too; expected a value in one of them"
            ) from None
        self._defaults.append((path, key))

    def section(self, name: str, model: type[T]) -> T:
        """The section at a dotted name as a value of its model; UserError has a line for each fault."""
        return validate(model, self.get(name), self.path, prefix=name)

    def refuse_changes(self) -> None:
        """UserError when something that was used is not the same in the file any more."""
        now = Parameters.load(self.path)
        for path, key in self._defaults:
            now.fill_nulls(path, key)
        for name in sorted(self.used):
            if now.get(name) != self.get(name):
                files = " or ".join(map(str, [self.path, *(path for path, _ in self._defaults)]))
                raise UserError(f"{files}: {name}: edited while the stage ran; run dvc repro again")


def _filled(values: dict, defaults: Any, prefix: str = "") -> dict:
    """The values with defaults in the places of nulls; ValueError with the dotted name of what is null in both."""
    result = dict(values)
    for key, default in defaults.items() if isinstance(defaults, dict) else ():
        if isinstance(values.get(key), dict):
            result[key] = _filled(values[key], default, f"{prefix}{key}.")
        elif key in values and values[key] is None and not isinstance(default, dict):
            if default is None:
                raise ValueError(f"{prefix}{key}")
            result[key] = default
    return result


def load_yaml(path: Path) -> Any:
    """Parse a YAML file; UserError with the line when it is missing or malformed."""
    try:
        return yaml.load(path.read_text(encoding="utf-8"), _Loader)
    except FileNotFoundError:
        raise UserError(f"{path}: no such file; run this from the root of the checkout") from None
    except OSError as error:
        raise UserError(describe_error(error)) from None
    except UnicodeDecodeError as error:
        raise UserError(f"{path}: byte {error.start} is not UTF-8; save the file as UTF-8") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise UserError(f"{path}: line {line}: not valid YAML: {error.problem}") from None
    except yaml.YAMLError as error:
        raise UserError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from None
    except (ArithmeticError, LookupError, RecursionError, TypeError, ValueError) as error:
        # PyYAML's own way to say that a date or a number is none.
        raise UserError(f"{path}: not valid YAML: {type(error).__name__}: {' '.join(str(error).split())}") from None


def validate(model: type[T], values: Any, source: Path, prefix: str = "") -> T:
    """Check parsed YAML against a typed section.

    Args:
        model: the section's class.
        values: what the YAML file holds at `prefix`.
        source: the file, for the message.
        prefix: dotted path of `values` within the file.

    Raises:
        UserError: one line for each fault.
    """
    try:
        return model.model_validate(values)
    except ValidationError as error:
        faults = error.errors()
        # A list whose only item is bad is also called too short: the inner fault is the one to mend.
        inner = [one for one in faults if not any(_is_inside(other, one) for other in faults)]
        lines = [f"{source}: {_describe(model, fault, prefix)}" for fault in inner]
        raise UserError("\n".join(lines)) from None


def _describe(model: type[BaseModel], fault: Any, prefix: str) -> str:
    location = [str(part) for part in fault["loc"]]
    field = ".".join(filter(None, [prefix, *location])) or "the file"
    if fault["type"] == "missing":
        return f"{field} is missing"
    if fault["type"] == "extra_forbidden":
        return f"{field} is unknown; allowed here: {', '.join(_allowed_keys(model, location[:-1]))}"
    message = fault["msg"].removeprefix("Value error, ").replace("Input should be", "expected", 1)
    if fault["type"] in ("model_type", "model_attributes_type"):
        message = "expected a section with the keys " + ", ".join(_allowed_keys(model, location))
    if isinstance(fault["input"], dict):
        return f"{field}: {message}"
    return f"{field} is {_shorten(repr(fault['input']))}; {message.replace('a valid tuple', 'a list')}"


def _shorten(text: str, most: int = 80) -> str:
    return text if len(text) <= most else text[:most] + "..."


def _is_inside(fault: Any, other: Any) -> bool:
    inner, outer = fault["loc"], other["loc"]
    return len(inner) > len(outer) and inner[: len(outer)] == outer


def _allowed_keys(model: type[BaseModel], location: list[str]) -> list[str]:
    for part in location:
        field = model.model_fields.get(part)
        # List items and mapping keys are no fields: the model of their parent stays the one to name.
        if field is not None:
            nested = [kind for kind in (field.annotation, *_arguments(field.annotation)) if _is_model(kind)]
            model = nested[0] if nested else model
    return list(model.model_fields)


def _arguments(annotation: Any) -> tuple[Any, ...]:
    return getattr(annotation, "__args__", ())


def _is_model(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, BaseModel)
