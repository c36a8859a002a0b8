"""`data/catalog.yaml`: what each dataset version is, and the contract its files must keep."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from pipeline.contract.columns import ClassName, Column, ColumnType, Feature, Target, Task, Vector
from pipeline.contract.settings import USUAL_SETTINGS, Settings
from trackstack import UserError
from trackstack.core.params import Count, Index, Parameters, Positive, Section, load_yaml, validate

CATALOG_FILE = Path("data/catalog.yaml")


class Contract(Section):
    """How the CSV files of a dataset version are built."""

    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    label: Column | None = None
    """The column of classes."""
    classes: Annotated[tuple[ClassName, ...], Field(min_length=2)] = ()
    """The values of the label column, in the order that gives each its number."""
    targets: Annotated[tuple[Target, ...], Field(min_length=1, max_length=100)] = ()
    """The columns of amounts, where the task is a regression; instead of label and classes."""
    group: Column | None = None
    """The column (a person, a machine, a site) whose values are never split across train, val and test; without it a
    recording, and in a table a row, is never split, and each class is spread evenly over the splits."""
    series: Column | None = None
    """The column whose value changes where a recording ends; without it every row is a sample."""
    time: Column | None = None
    """The column of timestamps, numbers that rise from row to row within a series; kept like an extra column."""
    extra: tuple[Column, ...] = ()
    """Columns that are kept in Parquet and not used for training; where they are text they may be empty."""
    types: dict[str, ColumnType] = Field(default_factory=dict)
    """Types of group, series, time and extra columns, where int32 (group, series), float64 (time) or text (extra)
    will not do."""
    sample_rate_hz: Positive | None = None
    vectors: tuple[Vector, ...] = ()

    @model_validator(mode="after")
    def _has_one_task(self) -> Contract:
        if self.targets and (self.label or self.classes):
            raise ValueError(
                "has targets, and label or classes as well; expected targets alone, or label and classes"
            )
        if not self.targets and not (self.label and self.classes):
            raise ValueError("expected label and classes, or targets")
        return self

    @model_serializer(mode="wrap")
    def _without_the_other_task(self, dump: SerializerFunctionWrapHandler) -> dict[str, Any]:
        # What digests are made of does not change when another task gets fields.
        absent = ("label", "classes") if self.targets else ("targets",)
        return {name: value for name, value in dump(self).items() if name not in absent}

    @model_validator(mode="after")
    def _columns_are_distinct(self) -> Contract:
        columns = self.columns()
        if twice := sorted({column for column in columns if columns.count(column) > 1}):
            raise ValueError(f"columns named twice: {', '.join(twice)}")
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("classes has a name twice")
        axes = [name for vector in self.vectors for name in vector.axes]
        numbers = {feature.name for feature in self.features if feature.kind == "number"}
        if unknown := sorted(set(axes) - numbers):
            raise ValueError(f"vectors may name features of numbers; not {', '.join(unknown)}")
        if len(set(axes)) < len(axes):
            raise ValueError("vectors name a feature twice")
        if unknown := sorted(set(self.types) - set(self.id_columns())):
            raise ValueError(f"types may name {', '.join(self.id_columns())}; not {', '.join(unknown)}")
        if self.time and not self.series:
            raise ValueError("time needs a series, within which it rises")
        if self.time and self.id_type(self.time) == "text":
            raise ValueError(f"types.{self.time} is 'text'; expected a number, since it is the time")
        if fractions := [name for name in (self.group, self.series) if name and self.id_type(name) == "float64"]:
            raise ValueError(f"types.{fractions[0]} is 'float64'; expected an integer or text, which name things")
        return self

    @property
    def task(self) -> Task:
        """What a model predicts: a class, or amounts."""
        return "regression" if self.targets else "classification"

    def id_columns(self) -> list[str]:
        """Group, series, time and extra columns: everything but features, label and targets."""
        return [*(name for name in (self.group, self.series, self.time) if name), *self.extra]

    def feature_names(self) -> list[str]:
        """The feature columns, in the order of the tensors' channels; see `windows/encoding.py`."""
        return [feature.name for feature in self.features]

    def measured(self) -> list[Feature]:
        """The features that are numbers or times."""
        return [feature for feature in self.features if feature.kind != "category"]

    def categories(self) -> list[Feature]:
        """The features that are one of several values."""
        return [feature for feature in self.features if feature.kind == "category"]

    def target_names(self) -> list[str]:
        """The columns of amounts to predict, in the order of the model's outputs; none of a classification."""
        return [target.name for target in self.targets]

    def amounts(self) -> list[str]:
        """The columns of numbers and times: features but for categories, and targets."""
        return [*(feature.name for feature in self.measured()), *self.target_names()]

    def columns(self) -> list[str]:
        """All columns that a file must have."""
        label = [self.label] if self.label else []
        return [*self.id_columns(), *self.feature_names(), *label, *self.target_names()]

    def id_type(self, column: str) -> ColumnType:
        """The type of a group, series, time or extra column."""
        default: ColumnType = "text" if column in self.extra else "float64" if column == self.time else "int32"
        return self.types.get(column, default)


class ImportRecipe(Section):
    """How `trackstack catalog add` made the files of the raw folder from others, for `catalog update` to do again."""

    encoding: str | None = None
    delimiter: str | None = None
    decimal: Literal[",", "."] | None = None
    skip: Index | None = None
    """Lines before the header."""
    sheet: str | None = None
    """Of an Excel workbook."""
    no_header: bool = False
    """The first line was a row."""
    missing: tuple[str, ...] = ()
    """Words that stood for a missing value, beside the usual ones."""
    group_from: str | None = None
    """A regular expression that finds the group in a file's name."""
    label_from: str | None = None
    labels: str | None = None
    """A table of labels or groups by file name."""
    sequence: bool = False
    """Each file was one recording."""
    date_formats: tuple[str, ...] = ()
    """How dates were written, as polars' `strptime` takes it."""
    blocks: Count | None = None
    """How many blocks each recording was cut into."""
    gap: Index = 0
    """Rows that were left out between two blocks."""


class Dataset(Contract):
    """A dataset version: its contract, and what else people want to know of it."""

    path: str
    description: str
    num_samples: Count
    """Rows in all files."""
    files: dict[str, Index] | None = None
    """Rows per file; when given, no other file may lie in the folder."""
    settings: Settings
    licence: str | None = None
    source: str | None = None
    recipe: ImportRecipe | None = None

    @model_validator(mode="after")
    def _rows_add_up(self) -> Dataset:
        if self.files is not None and sum(self.files.values()) != self.num_samples:
            total = sum(self.files.values())
            raise ValueError(f"num_samples is {self.num_samples:,}, but the rows under files add up to {total:,}")
        return self

    def kind(self) -> str:
        """Whether a row is a sample of its own, or one of a recording."""
        return "sequence" if self.series else "tabular"

    def contract(self) -> Contract:
        """The part that decides what the stages compute."""
        return Contract.model_validate(self.model_dump(include=set(Contract.model_fields)))


def chosen_dataset(params: Parameters) -> str:
    """The value of `dataset` in params.yaml; UserError when it is not text."""
    name = params.get("dataset")
    if not isinstance(name, str):
        raise UserError(f"{params.path}: dataset is {name!r:.80}; expected the name of an entry of {CATALOG_FILE}")
    return name


def fill_from_dataset(params: Parameters) -> None:
    """What the stage scripts do: nulls are the settings of the chosen dataset, which must be in the catalog."""
    name = chosen_dataset(params)
    load_dataset(name)
    params.fill_nulls(CATALOG_FILE, f"datasets.{name}.settings")


def load_dataset(name: str, path: Path = CATALOG_FILE) -> Dataset:
    """Read one entry of the catalog; a faulty entry beside it does no harm."""
    entries = _entries(path)
    if name not in entries:
        known = ", ".join(map(str, entries))
        raise UserError(f"params.yaml: dataset is {name!r}; {path} has {known}")
    return _dataset(name, entries[name], path)


def refuse_changed_entry(name: str, before: Dataset, path: Path = CATALOG_FILE) -> None:
    """UserError when an entry was edited since: DVC would record the new one as if it had been used."""
    if load_dataset(name, path) != before:
        raise UserError(f"{path}: datasets.{name}: edited while the stage ran; run dvc repro again")


def load_catalog(path: Path = CATALOG_FILE) -> dict[str, Dataset]:
    """Read all entries; UserError at the first faulty entry."""
    return {str(name): _dataset(name, entry, path) for name, entry in _entries(path).items()}


def raw_path(name: str) -> str:
    """Where the files of a dataset version lie."""
    return f"data/raw/{name}"


def refuse_bad_name(name: Any, path: Path = CATALOG_FILE) -> None:
    """UserError for a name that cannot be a path, a word of a command and a key of DVC's dotted parameters."""
    if not isinstance(name, str) or not re.fullmatch(r"[A-Za-z0-9_-]+", name):
        raise UserError(f"{path}: datasets.{name}: a name is made of letters, digits, - and _")


def refuse_taken(name: str, path: str) -> None:
    """UserError when the catalog or the raw folder has that name already; `path` is what was to get it."""
    if name in _entries(CATALOG_FILE):
        raise UserError(f"{CATALOG_FILE}: {name} is there already; type: trackstack catalog update {name} {path}")
    raw = Path(raw_path(name))
    if raw.exists() and raw.resolve() != Path(path).resolve():
        raise UserError(f"{raw}: is there already, and not in the catalog; choose another name, or remove it")


def _dataset(name: Any, entry: Any, path: Path) -> Dataset:
    refuse_bad_name(name, path)
    if isinstance(entry, dict) and "settings" not in entry:
        usual = yaml.safe_dump(USUAL_SETTINGS, default_flow_style=True, sort_keys=False, width=1000).strip()
        raise UserError(f"{path}: datasets.{name}.settings is missing; for instance: settings: {usual}")
    dataset = validate(Dataset, entry, path, prefix=f"datasets.{name}")
    if dataset.path != raw_path(name):
        raise UserError(f"{path}: datasets.{name}.path is {dataset.path!r}; expected {raw_path(name)!r}")
    return dataset


def _entries(path: Path) -> dict:
    content = load_yaml(path)
    if not isinstance(content, dict) or set(content) != {"datasets"} or not isinstance(content["datasets"], dict):
        raise UserError(f"{path}: expected one key, datasets, with an entry per dataset version")
    return content["datasets"]
