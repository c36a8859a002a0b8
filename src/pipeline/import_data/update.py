"""Next month's files of a dataset version: what changed, and an entry that keeps what people wrote into the old."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from pipeline.contract.catalog import CATALOG_FILE, Dataset
from pipeline.import_data.apply import same_content
from pipeline.import_data.columns import ImportOptions, refuse
from pipeline.import_data.contents.values import MISSING, MissingWords
from pipeline.import_data.plan import Plan
from pipeline.import_data.reading.dialect import DialectOptions, read_sample
from pipeline.import_data.reading.file_kinds import differing_units
from pipeline.import_data.reading.files import find_files
from pipeline.import_data.settings import kept_notes
from pipeline.import_data.survey import survey_files
from trackstack.core.params import load_yaml


class Changes(NamedTuple):
    """How the new files differ from those in the raw folder."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    same: list[str]
    classes: dict[str, tuple[int, int]]
    """Rows before and after; none of a regression."""


def original_options(dataset: Dataset, given: ImportOptions) -> ImportOptions:
    """The options with which the dataset version was added, and what is given for its new files."""
    label, *more_labels = [*filter(None, [dataset.label]), *dataset.target_names()]
    options = ImportOptions(
        label=label,
        more_labels=tuple(more_labels),
        task=dataset.task,
        group=dataset.group,
        series=dataset.series,
        time=dataset.time,
        extra=tuple(dict.fromkeys((*dataset.extra, *given.extra))),
    )
    # A class or category that is called like such a word was kept when it came.
    names = (*dataset.classes, *(name for one in dataset.categories() for name in one.categories))
    kept = (*given.not_missing, *(name for name in names if name.lower() in MISSING))
    options = replace(options, not_missing=kept, spellings=given.spellings, known_classes=dataset.classes)
    options = replace(options, features=tuple(name for name in dataset.feature_names() if name not in options.extra))
    categories = {one.name: one.categories for one in dataset.features if one.kind == "category"}
    times = tuple(one.name for one in dataset.features if one.kind == "time")
    options = replace(options, categories=tuple(categories), known_categories=categories, date_features=times)
    options = replace(options, date_formats=given.date_formats)
    recipe, labels, dialect = dataset.recipe, given.labels, given.dialect
    if recipe is None:
        return replace(options, labels=labels, missing=given.missing, dialect=dialect)
    decimal = dialect.decimal or (None if dialect.thousands == recipe.decimal else recipe.decimal)
    return replace(
        options,
        **recipe.model_dump(include={"sequence", "group_from", "label_from"}),
        series=None if recipe.sequence else options.series,
        labels=labels or (Path(recipe.labels) if recipe.labels else None),
        missing=tuple(dict.fromkeys((*recipe.missing, *given.missing))),
        date_formats=tuple(dict.fromkeys((*given.date_formats, *recipe.date_formats))),
        known_formats=recipe.date_formats,
        blocks=recipe.blocks,
        gap=recipe.gap if recipe.blocks else None,
        dialect=DialectOptions(
            *(dialect.encoding or recipe.encoding, dialect.delimiter or recipe.delimiter, decimal, dialect.thousands),
            skip=recipe.skip if dialect.skip is None else dialect.skip,
            sheet=dialect.sheet or recipe.sheet,
            no_header=dialect.no_header or recipe.no_header,
        ),
    )


def keep_old_entry(dataset: Dataset, plan: Plan) -> Plan:
    """The plan with the old entry's words, units, ranges and order of classes; UserError where columns differ."""
    old: dict[str, Any] = load_yaml(CATALOG_FILE)["datasets"][plan.name]
    new = {feature["name"]: feature for feature in plan.entry["features"]}
    before = dataset.feature_names()
    problems = [f"{name}: a feature of {plan.name}, not in the new files" for name in before if name not in new]
    kept = [name for names in plan.kinds.kept.values() for name in names if name not in dataset.columns()]
    problems += [f"{name}: not a column of {plan.name} so far" for name in (*new, *kept) if name not in before]
    problems += [
        f"{feature.name}: a {feature.kind} in {plan.name}, and a {kind} in the new files"
        for feature in dataset.features
        if feature.name in new and (kind := new[feature.name].get("kind", "number")) != feature.kind
    ]
    refuse(problems + _unit_problems(dataset, plan))
    entry = {**old, "num_samples": plan.entry["num_samples"], "files": plan.entry["files"]}
    entry["features"] = [_joined(feature, new[feature["name"]]) for feature in old["features"]]
    # A class that is gone stays: its number is that of the models that were trained on it.
    if dataset.classes:
        entry["classes"] = [*old["classes"], *(name for name in plan.entry["classes"] if name not in dataset.classes)]
    # Somebody may have edited the rest, and results before and after are to be compared.
    entry["settings"] = {**old["settings"], "parquet": plan.entry["settings"]["parquet"]}
    notes = (*plan.notes, *kept_notes(entry["settings"], plan.entry["settings"]))
    for key in ("types", "recipe"):
        if key in plan.entry:
            entry[key] = {**(old.get(key) or {}), **plan.entry[key]}
    return replace(plan, entry=entry, notes=notes)


def _unit_problems(dataset: Dataset, plan: Plan) -> list[str]:
    """Columns whose unit in the new files is another."""
    known = {one.name: one.unit for one in dataset.features} | {one.name: one.unit for one in dataset.targets}
    columns = [*plan.entry["features"], *plan.entry.get("targets", ())]
    found = {column["name"]: column.get("unit", "") for column in columns}
    return [
        f"{name}: in {found[name]} in the new files, and in {known[name]} in {plan.name}; convert them, or correct "
        "the word where only that differs"
        for name in differing_units(known, found)
    ]


def _joined(old: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
    """A feature as people wrote it; a new category comes last: the others are channels of trained models."""
    if "categories" not in old:
        return old | {key: value for key, value in new.items() if key == "missing"}
    known = list(map(str, old["categories"]))
    return old | {"categories": [*old["categories"], *(one for one in new["categories"] if one not in known)]}


def find_changes(dataset: Dataset, plan: Plan) -> Changes:
    """Compare the planned files with those that lie in the raw folder."""
    raw = Path(dataset.path)
    present = {name: raw / name for _, name in find_files(str(raw))}
    planned = {file.target: file for file in plan.files}
    same = [name for name in sorted(planned) if name in present and same_content(planned[name], plan, present[name])]
    plain = DialectOptions("utf-8", ",", ".")
    samples = [read_sample(file, name, plain) for name, file in present.items()]
    counts = (
        [
            survey.columns[dataset.label].values
            for survey in survey_files(samples, {dataset.label}, MissingWords.of(kept=dataset.classes))
        ]
        if dataset.label
        else []
    )
    return Changes(
        added=sorted(set(planned) - set(present)),
        removed=sorted(set(present) - set(planned)),
        changed=sorted(set(planned) & set(present) - set(same)),
        same=same,
        classes={
            name: (sum(values[name] for values in counts), plan.class_rows.get(name, 0))
            for name in map(str, plan.entry.get("classes", ()))
        },
    )
