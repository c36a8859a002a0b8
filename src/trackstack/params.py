"""`params.yaml` as frozen, typed values: unknown keys, wrong types and values out of range are refused.

The sections of single models, losses and metrics (`models.cnn`, ...) are checked by those that own them, see
`trackstack.registry`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    ValidationInfo,
    field_validator,
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


class ParquetParams(Section):
    """CSV to Parquet."""

    compression: Literal["zstd", "snappy", "none"]
    max_rejected: Index
    """The stage fails when more rows than this break the catalog's contract."""


class TensorCacheParams(Section):
    """Parquet to windows, split by group."""

    window: Count
    """Rows per window; 1 for data without a series."""
    stride: Count
    """Rows from the start of one window to the start of the next."""
    folds: Annotated[int, Field(strict=True, ge=3, le=LARGEST)]
    """Parts of whole groups: one for the test, one for validation, the rest to train on."""
    fold: Index
    """Which fold is the test split; the next one is for validation."""
    validation: Annotated[bool, Field(strict=True)]
    """Whether that next fold is held out. False for a last training on all but the test split, when all is chosen."""

    @field_validator("fold")
    @classmethod
    def _fold_exists(cls, fold: int, info: ValidationInfo) -> int:
        folds = info.data.get("folds")
        if folds is not None and fold >= folds:
            raise ValueError(f"expected 0 to {folds - 1}, since tensor_cache.folds is {folds}")
        return fold


class AugmentParams(Section):
    """Random changes to training windows; 0 switches one off."""

    rotation: NonNegative
    """Standard deviation, about each axis and in degrees, of a rotation of the catalog's vectors."""
    mirror: Annotated[Number, Field(ge=0, le=1)]
    """Probability of a reflection of the catalog's vectors in their y-z plane."""
    gain: Fraction
    """Standard deviation of a random factor around 1 for each vector."""
    stretch: NonNegative
    """Standard deviation of the logarithm of a random speed."""
    shift: Fraction
    """Largest shift in time, as a fraction of the window."""
    jitter: NonNegative
    """Standard deviation of added noise, in standard deviations of the feature."""


class InitFrom(Section):
    """A model folder to start from. Its digest is a parameter, so that other weights are another run."""

    folder: str
    digest: str
    """The `digest` in the folder's `model.json`."""


class TrainParams(Section):
    """Everything that decides the trained weights, but for the sections of model and loss."""

    model: str
    """A name from `trackstack.models`; its parameters are in the section `models`."""
    loss: str
    """A name from `trackstack.losses`; its parameters are in the section `losses`."""
    metric: str
    """A name from `trackstack.metrics`; its parameters are in the section `metrics`."""
    seed: Index
    epochs: Count
    batch_size: Count
    """Global: the number of processes does not change it."""
    lr: Positive
    """The peak learning rate."""
    warmup: Fraction
    """Fraction of all steps in which the learning rate rises; then it falls as a cosine to 0."""
    weight_decay: NonNegative
    clip_norm: NonNegative
    """Largest norm of all gradients together; 0 for no limit."""
    keep: Literal["last", "best"]
    """The epoch whose weights are kept: the last, or the one with the lowest validation loss."""
    patience: Index
    """Epochs without a lower validation loss after which training ends; 0 for never."""
    init_from: InitFrom | None
    """Start from the weights of another model instead of random ones."""
    precision: Literal["float32", "bf16"]
    """Of matrix products and convolutions; weights and sums are float32. It changes the result."""
    compile: Annotated[bool, Field(strict=True)]
    """Let `torch.compile` make faster kernels; they change the last bits of the result."""
    threads: Threads
    """CPU threads; they change the last bits of the result, which is why they are a parameter."""
    augment: AugmentParams


class EvaluateParams(Section):
    """Metrics on the test split."""

    calibration_bins: Count
    threads: Threads


class Params(Section):
    """The whole of `params.yaml`."""

    dataset: str
    parquet: ParquetParams
    tensor_cache: TensorCacheParams
    train: TrainParams
    models: dict[str, dict[str, Any]]
    losses: dict[str, dict[str, Any]]
    metrics: dict[str, dict[str, Any]]
    evaluate: EvaluateParams


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


def load_params(path: Path = PARAMS_FILE) -> Params:
    """Read and validate `params.yaml`; UserError names the field, its value and what is allowed."""
    params = validate(Params, load_yaml(path), path)
    if not params.tensor_cache.validation:
        for field, only in (("keep", "last"), ("patience", 0)):
            value = getattr(params.train, field)
            if value != only:
                raise UserError(
                    f"{path}: train.{field} is {value!r}; expected {only}, since tensor_cache.validation is false"
                )
    return params


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
