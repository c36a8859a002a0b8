"""Decide what a dataset version of own files will be: its catalog entry, its files, and how they come there.

Nothing is read or written here; what does not fit is reported all at once.
"""

from __future__ import annotations

import csv
import re
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.catalog import CATALOG_FILE, Dataset, raw_path
from trackstack.own_data.guess import NUMBER, Dialect, Given, Sample, differences
from trackstack.own_data.survey import MAX_VALUES, Column, Survey
from trackstack.params import Params, validate

MAX_CLASSES = 100
MAX_FEATURES = 1000
MIN_GROUPS = 3  # train, val, test
INT32 = 2**31 - 1
LABEL_NAMES = ("label", "class", "target", "y", "species", "category", "activity", "state", "diagnosis")


@dataclass(frozen=True)
class Choice:
    """What a person says of their files; the fields are the options of `trackstack catalog add`."""

    label: str | None = None
    group: str | None = None
    series: str | None = None
    time: str | None = None
    extra: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    sequence: bool = False
    group_from: str | None = None
    label_from: str | None = None
    labels: Path | None = None
    given: Given = field(default_factory=Given)

    def recipe(self, dialect: Dialect) -> dict[str, Any]:
        """What must be known to make the same of next month's files."""
        options = {"group_from": self.group_from, "label_from": self.label_from, "sequence": self.sequence}
        options |= {"labels": self.labels and self.labels.as_posix(), "missing": list(self.missing)}
        parts = {"encoding": dialect.encoding, "delimiter": dialect.delimiter, "decimal": dialect.decimal}
        return {name: value for name, value in (parts | options).items() if value}


@dataclass(frozen=True)
class PlannedFile:
    """One file of the dataset version."""

    sample: Sample
    target: str
    """Its name in the raw folder."""
    added: dict[str, str]
    """Columns that come from its name or from a table: the same value in every row."""
    rows: int


@dataclass(frozen=True)
class Plan:
    """What will be done, and why."""

    name: str
    entry: dict[str, Any]
    files: tuple[PlannedFile, ...]
    converted: tuple[str, ...]
    """Why the files are rewritten while they are copied; empty where they are taken byte for byte."""
    notes: tuple[str, ...]
    settings: tuple[str, ...]
    """`NAME=VALUE` for `dvc exp run -S`: what the shipped parameters do not fit."""
    class_rows: dict[str, int]


def complete(choice: Choice, samples: list[Sample]) -> tuple[Choice, list[dict[str, str]]]:
    """The choice with its columns' names filled in, and for each file the columns that are added to it.

    Raises:
        UserError: the files differ, or a name or the table does not say what it should; a line for each fault.
    """
    problems = differences(samples)
    added: list[dict[str, str]] = [{} for _ in samples]
    for what, pattern in (("group", choice.group_from), ("label", choice.label_from)):
        if pattern:
            column = getattr(choice, what) or what
            choice = replace(choice, **{what: column})
            problems += _from_names(pattern, column, samples, added, f"--{what}-from")
    if choice.labels:
        choice, faults = _from_table(choice, samples, added)
        problems += faults
    if choice.sequence and not choice.series:
        choice = replace(choice, series="recording")
        for columns, sample in zip(added, samples, strict=True):
            columns["recording"] = _stem(sample.name)
    refuse(problems)
    known = [*samples[0].header, *added[0]]
    for option in ("label", "group", "series", "time"):
        column = getattr(choice, option)
        if column and column not in known:
            problems.append(f"--{option} {column}: no such column; there are {_some(known)}")
    problems += [
        f"--extra {name}: no such column; there are {_some(known)}" for name in choice.extra if name not in known
    ]
    clash = sorted({column for column in added[0] if column in samples[0].header})
    problems += [f"{column}: a column of the files, and to be added as well; name another" for column in clash]
    if choice.time and not choice.series:
        problems.append("--time: needs --series or --sequence, within which it rises")
    refuse(problems)
    return choice, added


def guess_label(samples: list[Sample]) -> str | None:
    """The column that is called like a label, if there is one."""
    found = [column for column in samples[0].header if column.lower() in LABEL_NAMES]
    return found[0] if len(found) == 1 else None


def make_plan(
    name: str,
    description: str,
    choice: Choice,
    surveys: list[Survey],
    added: list[dict[str, str]],
    params: Params,
) -> Plan:
    """The plan for files that were read; UserError with a line for each thing that does not fit."""
    first = surveys[0].sample
    columns = _merged(surveys, added)
    label = choice.label or ""
    ids = [column for column in (choice.group, choice.series, choice.time) if column]
    counters = [
        column
        for number, column in enumerate(first.header)
        if column not in (*ids, label, *choice.extra) and (first.counts_rows(number) or column in first.unnamed)
    ]
    extra = [*choice.extra, *counters]
    features = [column for column in first.header if column not in (*ids, label, *extra)]
    problems = [
        *_label_problems(label, columns[label]),
        *_feature_problems(features, columns),
        *_id_problems(choice, columns),
    ]
    targets = [_target(survey.sample, "") for survey in surveys]
    if twice := [target for target, count in Counter(targets).items() if count > 1]:
        problems.append(f"{', '.join(twice)}: several files would get this name; rename them")
    refuse(problems)
    used = [columns[column] for column in (*features, label, *ids)]
    converted = _why_converted(surveys, used, added)
    files = tuple(
        PlannedFile(survey.sample, _target(survey.sample, converted), columns_added, survey.rows)
        for survey, columns_added in zip(surveys, added, strict=True)
    )
    classes = sorted(columns[label].values, key=_in_order)
    entry = {
        "path": raw_path(name),
        "description": description,
        "num_samples": sum(file.rows for file in files),
        "features": [
            {"name": feature, **({"missing": "mean"} if columns[feature].missing else {})} for feature in features
        ],
        "label": label,
        "classes": classes,
        **{option: getattr(choice, option) for option in ("group", "series", "time") if getattr(choice, option)},
        **({"extra": extra} if extra else {}),
        **_types(choice, columns),
        "files": {file.target: file.rows for file in files},
        **({"recipe": choice.recipe(first.dialect)} if converted else {}),
    }
    validate(Dataset, entry, CATALOG_FILE, prefix=f"datasets.{name}")
    notes = [f"{column}: numbers the rows or has no name; kept as extra, not trained on" for column in counters]
    settings = _settings(choice, columns, surveys, added, params)
    class_rows = {each: columns[label].values[each] for each in classes}
    return Plan(name, entry, files, tuple(converted), tuple(notes), tuple(settings), class_rows)


def refuse(problems: list[str]) -> None:
    """UserError with all problems, if there are any."""
    if problems:
        raise UserError("\n".join(problems))


def _merged(surveys: list[Survey], added: list[dict[str, str]]) -> dict[str, Column]:
    columns: dict[str, Column] = {name: Column() for name in surveys[0].columns}
    for survey, constants in zip(surveys, added, strict=True):
        for name, column in survey.columns.items():
            columns[name].merge(column)
        for name, value in constants.items():
            found = columns.setdefault(name, Column())
            found.values[value] += survey.rows
    return columns


def _label_problems(label: str, column: Column) -> list[str]:
    values = column.values
    numbers = [float(value.replace(",", ".")) for value in values if NUMBER.fullmatch(value.replace(",", "."))]
    if len(numbers) == len(values) and not all(number.is_integer() for number in numbers):
        return [
            f"{label}: numbers such as {min(values)}, not classes; a regression target is not supported "
            "(cut it into classes, or choose another --label)"
        ]
    if len(values) > MAX_CLASSES:
        count = f"more than {MAX_VALUES:,}" if len(values) > MAX_VALUES else f"{len(values):,}"
        return [f"{label}: {count} different values; expected 2 to {MAX_CLASSES} classes"]
    if len(values) < 2:
        return [
            f"{label}: {f'one class, {next(iter(values))}' if values else 'no value'}; expected 2 to {MAX_CLASSES}"
        ]
    return []


def _feature_problems(features: list[str], columns: dict[str, Column]) -> list[str]:
    problems = []
    without_numbers = [name for name in features if columns[name].high < columns[name].low]
    texts = [name for name in without_numbers if columns[name].not_number]
    empty = [name for name in without_numbers if not columns[name].not_number]
    mixed = [name for name in features if columns[name].not_number and name not in texts]
    for names, what in ((texts, "text, which is no feature"), (empty, "no value in any row")):
        if names:
            keep = " ".join(f"--extra {_quoted(name)}" for name in names[:20])
            problems.append(f"{_some(names)}: {what}; {keep} keeps it, and does not train on it")
    if mixed:
        value, file = columns[mixed[0]].example or ("", "")
        problems.append(
            f"{_some(mixed)}: {value!r} among numbers, in {file}; if it means missing: --missing {_quoted(value)}; "
            f"if not, keep the column out of training: --extra {_quoted(mixed[0])}"
        )
    if not 1 <= len(features) <= MAX_FEATURES:
        problems.append(f"{len(features):,} features; expected 1 to {MAX_FEATURES:,}")
    return problems


def _id_problems(choice: Choice, columns: dict[str, Column]) -> list[str]:
    problems = []
    part = choice.group or choice.series
    if part and (count := len(columns[part].values)) < MIN_GROUPS:
        hint = " (without --group rows or recordings are dealt out)" if choice.group else ""
        problems.append(f"{part}: {count} values; expected at least {MIN_GROUPS}, for train, val and test{hint}")
    if choice.time and columns[choice.time].not_number:
        problems.append(f"{choice.time}: {columns[choice.time].example}; expected the time as a number")
    return problems


def _types(choice: Choice, columns: dict[str, Column]) -> dict[str, Any]:
    """`types` of the catalog, where its defaults do not fit."""
    types = {}
    for name in filter(None, (choice.group, choice.series)):
        values = columns[name].values
        if not all(re.fullmatch(r"-?\d{1,18}", value) for value in values):
            types[name] = "text"
        elif max(abs(int(value)) for value in values) > INT32:
            types[name] = "int64"
    return {"types": types} if types else {}


def _why_converted(surveys: list[Survey], used: list[Column], added: list[dict[str, str]]) -> list[str]:
    dialect, sample = surveys[0].sample.dialect, surveys[0].sample
    reasons = [f"{dialect.delimiter!r} to ','"] if dialect.delimiter != "," else []
    if dialect.decimal == ",":
        reasons.append("decimal comma to point")
    if dialect.encoding not in ("utf-8", "utf-8-sig"):
        reasons.append(f"{dialect.encoding} to UTF-8")
    if any(survey.sample.odd_lines for survey in surveys):
        reasons.append("line ends, spaces around names")
    if sample.unnamed:
        reasons.append("names for columns that have none")
    if dialect.decimal == "." and any(column.odd for column in used):
        reasons.append("spaces, words for missing values, true and false")
    if added[0]:
        reasons.append(f"added: {', '.join(added[0])}")
    if reasons and (broken := sum(survey.broken for survey in surveys)):
        raise UserError(
            f"{sample.file}: {broken:,} line{'s' * (broken > 1)} with another number of fields than the header; the "
            "file must be rewritten, and such a line cannot: mend it"
        )
    return reasons


def _settings(
    choice: Choice,
    columns: dict[str, Column],
    surveys: list[Survey],
    added: list[dict[str, str]],
    params: Params,
) -> list[str]:
    """What the parameters must be for this data: no more folds than groups, windows that fit recordings."""
    settings = []
    groups = (
        len(columns[choice.group or choice.series].values)
        if choice.group or choice.series
        else params.tensor_cache.folds
    )
    if groups < params.tensor_cache.folds:
        settings.append(f"tensor_cache.folds={groups}")
    # `dvc exp run` leaves its settings in params.yaml: what the last dataset needed may still stand there.
    if (choice.series is None) != (params.train.model == "mlp"):
        settings.append(f"train.model={'cnn' if choice.series else 'mlp'}")
    if choice.series is None:
        return settings
    lengths = sorted(columns[choice.series].values.values())
    usual = lengths[len(lengths) // 10]
    if usual < params.tensor_cache.window:
        settings += [f"tensor_cache.window={usual}", f"tensor_cache.stride={max(1, usual // 4)}"]
    return settings


def _in_order(text: str) -> tuple:
    return (0, float(text), text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else (1, 0.0, text)


def _from_names(pattern: str, column: str, samples: list[Sample], added: list[dict], option: str) -> list[str]:
    try:
        wanted = re.compile(pattern)
    except re.error as error:
        return [f"{option} {pattern}: not a regular expression: {error}"]
    problems = []
    for sample, columns in zip(samples, added, strict=True):
        if match := wanted.search(sample.name):
            columns[column] = next((part for part in match.groups() if part), match[0])
        else:
            problems.append(f"{sample.file}: {option} {pattern}: does not fit the name {sample.name}")
    return problems


def _from_table(choice: Choice, samples: list[Sample], added: list[dict]) -> tuple[Choice, list[str]]:
    """Columns from a table whose first column names the files."""
    path = choice.labels or Path()
    try:
        header, *rows = csv.reader(path.read_text(encoding="utf-8-sig").splitlines(), strict=True)
    except (OSError, ValueError, csv.Error) as error:
        raise UserError(f"--labels {path}: cannot be read: {getattr(error, 'strerror', None) or error}") from None
    if choice.label is None and len(header) > 1:
        choice = replace(choice, label="label" if "label" in header[1:] else header[1])
    wanted = [name for name in (choice.label, choice.group, choice.series) if name in header[1:]]
    if not wanted:
        return choice, [f"--labels {path}: expected a first column of file names and {choice.label or 'a label'}"]
    by_name = {row[0].strip(): dict(zip(header, row, strict=False)) for row in rows if row}
    problems = []
    for sample, columns in zip(samples, added, strict=True):
        names = (sample.name, sample.file.name, _stem(sample.name), _stem(sample.file.name))
        row = next((by_name[name] for name in names if name in by_name), None)
        empty = [name for name in wanted if row is not None and not row.get(name, "").strip()]
        if row is None or empty:
            problems.append(f"--labels {path}: {sample.name}: {f'no {empty[0]}' if empty else 'no row'}")
        else:
            columns.update({name: row[name].strip() for name in wanted})
    return choice, problems


def _stem(name: str) -> str:
    return re.sub(r"\.(csv|tsv|txt)(\.gz|\.zst)?$", "", name).replace("/", "__")


def _target(sample: Sample, converted: object) -> str:
    name = sample.name.replace("/", "__")
    return name if not converted and name.endswith((".csv", ".csv.gz", ".csv.zst")) else f"{_stem(sample.name)}.csv"


def _quoted(text: str) -> str:
    return text if re.fullmatch(r"[\w.%+/-]+", text) else "'" + text.replace("'", "'\\''") + "'"


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
