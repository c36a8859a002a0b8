"""Decide what a dataset version of own files will be: its catalog entry, its files, and what must be converted.

Nothing is read or written here; what does not fit is reported all at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from pipeline.contract.catalog import CATALOG_FILE, Dataset, raw_path
from pipeline.import_data.advice import (
    category_notes,
    feature_notes,
    header_notes,
    label_notes,
    set_aside_notes,
    shadow_notes,
)
from pipeline.import_data.columns import ImportOptions, list_some, quoted, refuse, stem
from pipeline.import_data.contents.amounts import amount_notes, as_amounts, choose_task, target_problems
from pipeline.import_data.contents.blocks import Blocks, Cut, cut_recordings
from pipeline.import_data.contents.kinds import Kinds, choose_features, kept_notes
from pipeline.import_data.contents.spellings import join_names
from pipeline.import_data.contents.values import MissingWords
from pipeline.import_data.entry import contract_of
from pipeline.import_data.reading.dialect import Sample
from pipeline.import_data.settings import fitting_settings
from pipeline.import_data.suitability import feature_problems, id_problems, label_problems
from pipeline.import_data.survey import ColumnSurvey, FileSurvey
from trackstack import UserError
from trackstack.core.params import validate


@dataclass(frozen=True)
class PlannedFile:
    """One file of the dataset version."""

    sample: Sample
    target: str
    """Its name in the raw folder."""
    added: dict[str, str]
    """Columns that come from its name or from a table: the same value in every row."""
    rows: int
    recordings: Mapping[str, int] = field(default_factory=dict)
    """Rows of each recording, where they are cut into blocks."""


@dataclass(frozen=True)
class Plan:
    """What will be done, and why."""

    name: str
    entry: dict[str, Any]
    files: tuple[PlannedFile, ...]
    converted: tuple[str, ...]
    """Why the files are rewritten while they are copied; empty where they are taken byte for byte."""
    notes: tuple[str, ...]
    class_rows: dict[str, int]
    """None of a regression."""
    amounts: dict[str, tuple[float, float]]
    """Of a regression: the lowest and highest value of each target."""
    missing: MissingWords
    spellings: dict[str, dict[str, str]]
    """For each column of names: the spelling that takes the place of another."""
    set_aside: int
    """Rows that the pipeline will set aside, as far as is known before they are written."""
    kinds: Kinds
    category_rows: dict[str, dict[str, int]]
    """For each category its values, and how many rows have them."""
    incomplete: tuple[str, ...]
    """Features that lack a value in some row."""
    blocks: Blocks | None
    """How recordings are cut, if they are."""


def make_plan(
    name: str,
    description: str,
    options: ImportOptions,
    surveys: list[FileSurvey],
    added: list[dict[str, str]],
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
    ids = [column for column in (options.group, options.series, options.time) if column]
    counters = _counters(options, sample)
    options, kinds = choose_features(options, counters, columns, surveys, is_regression=bool(targets))
    spellings, alike = join_names(options, columns, None if targets else options.label)
    added = [
        {name: spellings.get(name, {}).get(value, value) for name, value in constants.items()} for constants in added
    ]
    cut = cut_recordings(options, surveys, added, spellings, columns)
    options = replace(options, gap=cut.blocks and cut.blocks.gap)
    problems = [
        *alike,
        *(target_problems(options, columns, sample) if targets else label_problems(labels[0], columns[labels[0]])),
        *feature_problems(kinds, [*filter(None, [options.time]), *targets], columns, sample, counters),
        *(cut.problems or id_problems(options, columns)),
    ]
    refuse(problems + _name_problems(surveys))
    used = [columns[column] for column in (*kinds.features, *labels, *ids)]
    converted = _why_converted(surveys, used, added, spellings, kinds, cut.blocks)
    files = _planned_files(surveys, converted, added, cut)
    set_aside = sum(survey.broken + survey.incomplete for survey in surveys)
    settings = fitting_settings(options, columns, sum(cut.rows) - set_aside, set_aside)
    contract = contract_of(options, kinds, targets, columns, _units(surveys))
    entry = _entry(name, description, files, contract) | {"settings": settings}
    if converted:
        entry["recipe"] = options.recipe(sample)
    validate(Dataset, entry, CATALOG_FILE, prefix=f"datasets.{name}")
    folds = settings["tensor_cache"]["folds"]
    return Plan(
        name,
        entry,
        files,
        converted=tuple(converted),
        notes=tuple(_notes(options, targets, counters, surveys, added[0], columns, kinds, folds)),
        class_rows={name: columns[labels[0]].values[name] for name in entry.get("classes", ())},
        amounts={name: (columns[name].low, columns[name].high) for name in targets},
        missing=options.missing_words(),
        spellings=spellings,
        set_aside=set_aside,
        kinds=kinds,
        category_rows={name: _most_common(columns[name].values) for name in kinds.categories},
        incomplete=tuple(name for name in kinds.features if columns[name].missing),
        blocks=cut.blocks,
    )


def _planned_files(
    surveys: list[FileSurvey], converted: list[str], added: list[dict[str, str]], cut: Cut
) -> tuple[PlannedFile, ...]:
    samples = [survey.sample for survey in surveys]
    names = [_target(sample, converted) for sample in samples]
    return tuple(map(PlannedFile, samples, names, added, cut.rows, cut.recordings))


def _entry(name: str, description: str, files: tuple[PlannedFile, ...], contract: dict[str, Any]) -> dict[str, Any]:
    """The entry of the catalog, in the order in which people read it."""
    rows = {file.target: file.rows for file in files}
    about = {"path": raw_path(name), "description": description, "num_samples": sum(file.rows for file in files)}
    return about | contract | {"files": rows}


def _counters(options: ImportOptions, sample: Sample) -> list[str]:
    """Columns that number the rows or have no name, and that nobody spoke of."""
    spoken = (options.group, options.series, options.time, *options.label_columns(), *options.extra)
    spoken = (*spoken, *options.features, *options.categories, *options.date_features)
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
    added: dict[str, str],
    columns: dict[str, ColumnSurvey],
    kinds: Kinds,
    folds: int,
) -> list[str]:
    """What a person should look at."""
    sample, labels = surveys[0].sample, options.label_columns()
    ids = [column for column in (options.group, options.series, options.time) if column]
    of_label = amount_notes(options, columns, sample.dialect) if targets else []
    of_label = of_label or ([] if targets else label_notes(options, columns[labels[0]], folds))
    broken = sum(survey.broken for survey in surveys)
    set_aside = broken + sum(survey.incomplete for survey in surveys)
    return [
        *header_notes(sample),
        *_units_notes(surveys),
        *shadow_notes(added, kinds.features),
        *(
            f"{column}: numbers the rows or has no name; kept as extra; --feature {quoted(column)} trains on it"
            for column in counters
            if column not in kinds.features
        ),
        *kept_notes(kinds),
        *of_label,
        *category_notes({name: columns[name] for name in kinds.categories}),
        *feature_notes(kinds.numbers(), targets, columns, sample),
        *set_aside_notes(set_aside, broken, {name: columns[name] for name in (*labels, *ids)}),
    ]


def _units(surveys: list[FileSurvey]) -> dict[str, str]:
    """Of all files: those that give some give the same."""
    return {name: unit for survey in surveys for name, unit in survey.sample.units.items()}


def _units_notes(surveys: list[FileSurvey]) -> list[str]:
    without = [survey.sample.file.name for survey in surveys if not survey.sample.units]
    if not without or len(without) == len(surveys):
        return []
    return [f"{list_some(without)}: no line of units; taken for those of the other files"]


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


def _why_converted(
    surveys: list[FileSurvey],
    used: list[ColumnSurvey],
    added: list[dict[str, str]],
    spellings: dict,
    kinds: Kinds,
    blocks: Blocks | None,
) -> list[str]:
    samples = [survey.sample for survey in surveys]
    sample = samples[0]
    dialect = sample.dialect
    reasons = {
        **{f"{what} to CSV": what for what in dict.fromkeys(sample.what for sample in samples)},
        "without the line of units": any(sample.units for sample in samples),
        "without the empty columns at the end": any(sample.dropped for sample in samples),
        "without blank lines, and line ends within fields": any(survey.blank for survey in surveys)
        and not any(survey.broken for survey in surveys),
        f"{dialect.delimiter!r} to ','": dialect.delimiter != ",",
        "decimal comma to point": dialect.decimal == ",",
        f"no {dialect.thousands!r} between thousands": dialect.thousands,
        f"{dialect.encoding} to UTF-8": dialect.encoding not in ("utf-8", "utf-8-sig"),
        "line ends, spaces around names": any(sample.nonstandard_lines for sample in samples),
        _skipped(surveys): any(survey.sample.skipped for survey in surveys),
        "a header": not sample.has_header,
        "names for columns that have none": any(sample.unnamed for sample in samples),
        "spaces, words for missing values, true and false": dialect.decimal == "."
        and any(column.to_convert for column in used),
        f"one spelling for each name of {', '.join(spellings)}": spellings,
        f"dates of {', '.join(kinds.times)} to seconds since 1970 (UTC where they name no zone)": kinds.times,
        "recordings cut into blocks": blocks,
        f"added: {', '.join(added[0])}": added[0],
    }
    converted = [reason for reason, applies in reasons.items() if applies]
    if converted and (broken := sum(survey.broken for survey in surveys)):
        raise UserError(
            f"{sample.file}: {broken:,} line{'s' * (broken > 1)} with another number of fields than the header; the "
            "file must be rewritten, and such a line cannot be: correct it"
        )
    return converted


def _skipped(surveys: list[FileSurvey]) -> str:
    count = max(survey.sample.skipped for survey in surveys)
    return f"without the {'line' if count == 1 else f'{count} lines'} before the header"


def _most_common(values: Counter) -> dict[str, int]:
    return dict(sorted(values.items(), key=lambda item: (-item[1], item[0])))


def _target(sample: Sample, converted: object) -> str:
    name = sample.name.replace("/", "__")
    return name if not converted and name.endswith((".csv", ".csv.gz", ".csv.zst")) else f"{stem(sample.name)}.csv"
