"""Decide what a dataset version of own files will be: its catalog entry, its files, and what must be converted.

Nothing is read or written here; what does not fit is reported all at once.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from pipeline.contract.catalog import CATALOG_FILE, Dataset, raw_path
from pipeline.import_data.advice import feature_notes, fitting_settings, folds_of, label_notes, set_aside_notes
from pipeline.import_data.amounts import amount_notes, as_amounts, choose_task, target_problems
from pipeline.import_data.columns import ImportOptions, quoted, refuse, stem
from pipeline.import_data.dialect import Sample
from pipeline.import_data.spellings import join_spellings, other_spellings, spelling_problem
from pipeline.import_data.suitability import feature_problems, id_problems, label_problems
from pipeline.import_data.survey import ColumnSurvey, FileSurvey
from pipeline.import_data.values import MissingWords
from trackstack import UserError
from trackstack.core.params import LARGEST, Parameters, validate


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
    """`NAME=VALUE` for `dvc exp run -S`, where the present parameters do not fit the data."""
    class_rows: dict[str, int]
    """None of a regression."""
    amounts: dict[str, tuple[float, float]]
    """Of a regression: the lowest and highest value of each target."""
    missing: MissingWords
    spellings: dict[str, dict[str, str]]
    """For each column of names: the spelling that takes the place of another."""
    set_aside: int
    """Rows that the pipeline will set aside, as far as is known before they are written."""


def make_plan(
    name: str,
    description: str,
    options: ImportOptions,
    surveys: list[FileSurvey],
    added: list[dict[str, str]],
    params: Parameters,
) -> Plan:
    """The plan for files that were read; UserError with a line for each thing that does not fit.

    Args:
        options: with the names of all columns, as `resolve_columns` returns them.
        added: for each file the columns that are added to it, from `resolve_columns` too.
    """
    sample, labels = surveys[0].sample, options.label_columns()
    columns = _merged(surveys, added)
    targets = labels if choose_task(options, columns, sample.dialect) == "regression" else []
    columns |= {name: as_amounts(name, columns[name]) for name in targets}
    spellings, alike = _join_names(options, columns, targets)
    added = [
        {name: spellings.get(name, {}).get(value, value) for name, value in constants.items()} for constants in added
    ]
    ids = [column for column in (options.group, options.series, options.time) if column]
    counters = _counters(options, sample)
    options = replace(options, extra=(*options.extra, *counters))
    features = [column for column in sample.header if column not in (*ids, *labels, *options.extra)]
    others = [*filter(None, [options.time]), *targets]
    problems = [
        *alike,
        *(target_problems(options, columns, sample) if targets else label_problems(labels[0], columns[labels[0]])),
        *feature_problems(features, others, columns, sample, counters),
    ]
    refuse(problems + id_problems(options, columns) + _name_problems(surveys))
    converted = _why_converted(surveys, [columns[column] for column in (*features, *labels, *ids)], added, spellings)
    files = tuple(
        PlannedFile(survey.sample, _target(survey.sample, converted), columns_added, survey.rows)
        for survey, columns_added in zip(surveys, added, strict=True)
    )
    entry = _entry(name, description, files, _contract(options, features, targets, columns))
    if converted:
        entry["recipe"] = options.recipe(sample.dialect)
    validate(Dataset, entry, CATALOG_FILE, prefix=f"datasets.{name}")
    settings = fitting_settings(options, columns, params)
    return Plan(
        name,
        entry,
        files,
        converted=tuple(converted),
        notes=tuple(_notes(options, targets, counters, surveys, columns, folds_of(settings, params))),
        settings=tuple(f"{name}={value}" for name, value in settings.items()),
        class_rows={name: columns[labels[0]].values[name] for name in entry.get("classes", ())},
        amounts={name: (columns[name].low, columns[name].high) for name in targets},
        missing=options.missing_words(),
        spellings=spellings,
        set_aside=sum(survey.broken + survey.incomplete for survey in surveys),
    )


def _entry(name: str, description: str, files: tuple[PlannedFile, ...], contract: dict[str, Any]) -> dict[str, Any]:
    """The entry of the catalog, in the order in which people read it."""
    rows = {file.target: file.rows for file in files}
    about = {"path": raw_path(name), "description": description, "num_samples": sum(file.rows for file in files)}
    return about | contract | {"files": rows}


def _counters(options: ImportOptions, sample: Sample) -> list[str]:
    """Columns that number the rows or have no name, and that nobody spoke of."""
    spoken = (
        *options.label_columns(),
        options.group,
        options.series,
        options.time,
        *options.extra,
        *options.features,
    )
    return [
        column
        for number, column in enumerate(sample.header)
        if column not in spoken and (sample.counts_rows(number) or column in sample.unnamed)
    ]


def _notes(
    options: ImportOptions,
    targets: list[str],
    counters: list[str],
    surveys: list[FileSurvey],
    columns: dict[str, ColumnSurvey],
    folds: int,
) -> list[str]:
    """What a person should look at."""
    sample, labels = surveys[0].sample, options.label_columns()
    ids = [column for column in (options.group, options.series, options.time) if column]
    features = [column for column in sample.header if column not in (*ids, *labels, *options.extra)]
    of_label = amount_notes(options, columns, sample.dialect) if targets else []
    of_label = of_label or ([] if targets else label_notes(options, columns[labels[0]], folds))
    broken = sum(survey.broken for survey in surveys)
    set_aside = broken + sum(survey.incomplete for survey in surveys)
    return [
        *(
            f"{column}: numbers the rows or has no name; kept as extra; --feature {quoted(column)} trains on it"
            for column in counters
        ),
        *of_label,
        *feature_notes(features, columns, sample),
        *set_aside_notes(set_aside, broken, {name: columns[name] for name in (*labels, *ids)}),
    ]


def _contract(
    options: ImportOptions, features: list[str], targets: list[str], columns: dict[str, ColumnSurvey]
) -> dict[str, Any]:
    """The part of the entry that says how the files are built."""
    label = options.label or ""
    contract = {
        "features": [{"name": name, **({"missing": "mean"} if columns[name].missing else {})} for name in features],
        **(
            {"targets": [{"name": name} for name in targets]}
            if targets
            else {"label": label, "classes": sorted(columns[label].values, key=_numbers_first)}
        ),
        "group": options.group,
        "series": options.series,
        "time": options.time,
        "extra": list(options.extra),
        "types": _types(options, columns),
    }
    return {key: value for key, value in contract.items() if value or key in ("features", "label", "classes")}


def _name_problems(surveys: list[FileSurvey]) -> list[str]:
    targets = Counter(_target(survey.sample, ()) for survey in surveys)
    twice = [target for target, count in targets.items() if count > 1]
    return [f"{', '.join(twice)}: several files would get this name; rename them"] if twice else []


def _merged(surveys: list[FileSurvey], added: list[dict[str, str]]) -> dict[str, ColumnSurvey]:
    columns = {name: ColumnSurvey() for name in surveys[0].columns}
    for survey, constants in zip(surveys, added, strict=True):
        for name, column in survey.columns.items():
            columns[name].merge(column)
        for name, value in constants.items():
            columns.setdefault(name, ColumnSurvey()).values[value] += survey.rows
    return columns


def _join_names(
    options: ImportOptions, columns: dict[str, ColumnSurvey], targets: list[str]
) -> tuple[dict[str, dict[str, str]], list[str]]:
    """Which spelling takes the place of which, and a line for each column in which nobody said so."""
    spellings, problems = {}, []
    # Recordings that are files have the files' names: they are apart.
    label = None if targets else options.label
    names = [label, options.group, None if options.sequence else options.series]
    for name in filter(None, names):
        values = columns[name].values
        others = other_spellings(values, options.known_classes if name == options.label else ())
        if others and options.spellings is None:
            problems.append(spelling_problem(name, values, others))
        elif others and options.spellings == "join":
            spellings[name] = others
            columns[name].values = join_spellings(values, others)
    return spellings, problems


def _types(options: ImportOptions, columns: dict[str, ColumnSurvey]) -> dict[str, str]:
    """`types` of the catalog, where its defaults do not fit."""
    types = {}
    for name in filter(None, (options.group, options.series)):
        values = columns[name].values
        if not all(re.fullmatch(r"-?\d{1,18}", value) for value in values):
            types[name] = "text"
        elif max(abs(int(value)) for value in values) > LARGEST:
            types[name] = "int64"
    return types


def _why_converted(
    surveys: list[FileSurvey], used: list[ColumnSurvey], added: list[dict[str, str]], spellings: dict
) -> list[str]:
    sample = surveys[0].sample
    dialect = sample.dialect
    reasons = {
        f"{dialect.delimiter!r} to ','": dialect.delimiter != ",",
        "decimal comma to point": dialect.decimal == ",",
        f"no {dialect.thousands!r} between thousands": dialect.thousands,
        f"{dialect.encoding} to UTF-8": dialect.encoding not in ("utf-8", "utf-8-sig"),
        "line ends, spaces around names": any(survey.sample.nonstandard_lines for survey in surveys),
        "without the lines before the header": any(survey.sample.skipped for survey in surveys),
        "names for columns that have none": sample.unnamed,
        "spaces, words for missing values, true and false": dialect.decimal == "."
        and any(column.to_convert for column in used),
        f"one spelling for each name of {', '.join(spellings)}": spellings,
        f"added: {', '.join(added[0])}": added[0],
    }
    converted = [reason for reason, applies in reasons.items() if applies]
    if converted and (broken := sum(survey.broken for survey in surveys)):
        raise UserError(
            f"{sample.file}: {broken:,} line{'s' * (broken > 1)} with another number of fields than the header; the "
            "file must be rewritten, and such a line cannot be: correct it"
        )
    return converted


def _numbers_first(text: str) -> tuple:
    return (0, float(text), text) if re.fullmatch(r"-?\d+(\.\d+)?", text) else (1, 0.0, text)


def _target(sample: Sample, converted: object) -> str:
    name = sample.name.replace("/", "__")
    return name if not converted and name.endswith((".csv", ".csv.gz", ".csv.zst")) else f"{stem(sample.name)}.csv"
