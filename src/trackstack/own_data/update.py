"""Next month's files of a dataset version: what changed, and an entry that keeps what people wrote into the old."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from trackstack.catalog import CATALOG_FILE, Dataset
from trackstack.own_data.apply import same_content
from trackstack.own_data.guess import Given, find_files, guess
from trackstack.own_data.plan import Choice, Plan, refuse
from trackstack.own_data.survey import survey
from trackstack.params import load_yaml


class Changes(NamedTuple):
    """How the new files differ from those in the raw folder."""

    added: list[str]
    removed: list[str]
    changed: list[str]
    same: list[str]
    classes: dict[str, tuple[int, int]]
    """Rows before and after."""


def choice_of(dataset: Dataset, labels: Path | None) -> Choice:
    """What was said when the dataset version was added."""
    recipe = dataset.recipe
    choice = Choice(dataset.label, dataset.group, dataset.series, dataset.time, dataset.extra)
    if recipe is None:
        return replace(choice, labels=labels)
    table = labels or (Path(recipe.labels) if recipe.labels else None)
    return replace(
        choice,
        missing=recipe.missing,
        sequence=recipe.sequence,
        series=None if recipe.sequence else choice.series,
        group_from=recipe.group_from,
        label_from=recipe.label_from,
        labels=table,
        given=Given(recipe.encoding, recipe.delimiter, recipe.decimal),
    )


def merge(dataset: Dataset, plan: Plan) -> Plan:
    """The plan with the old entry's words, units, ranges and order of classes; UserError where columns differ."""
    old: dict[str, Any] = load_yaml(CATALOG_FILE)["datasets"][plan.name]
    new = {feature["name"]: feature for feature in plan.entry["features"]}
    before = dataset.feature_names()
    problems = [f"{name}: a feature of {plan.name}, not in the new files" for name in before if name not in new]
    problems += [f"{name}: not a column of {plan.name} so far" for name in new if name not in before]
    refuse(problems)
    entry = {**old, "num_samples": plan.entry["num_samples"], "files": plan.entry["files"]}
    entry["features"] = [feature | new[feature["name"]] for feature in old["features"]]
    known = list(dataset.classes)
    # A class that is gone stays: its number is that of the models that were trained on it.
    entry["classes"] = [*old["classes"], *(name for name in plan.entry["classes"] if name not in known)]
    for key in ("types", "recipe"):
        if key in plan.entry:
            entry[key] = {**(old.get(key) or {}), **plan.entry[key]}
    return replace(plan, entry=entry)


def changes(dataset: Dataset, plan: Plan) -> Changes:
    """Compare the planned files with those that lie in the raw folder."""
    raw = Path(dataset.path)
    present = {name: raw / name for _, name in find_files(str(raw))}
    planned = {file.target: file for file in plan.files}
    same = [name for name in sorted(planned) if name in present and same_content(planned[name], plan, present[name])]
    plain = Given("utf-8", ",", ".")
    surveys = survey([guess(file, name, plain) for name, file in present.items()], {dataset.label}, ())
    before = {name: sum(found.columns[dataset.label].values[name] for found in surveys) for name in dataset.classes}
    return Changes(
        added=sorted(set(planned) - set(present)),
        removed=sorted(set(present) - set(planned)),
        changed=sorted(set(planned) & set(present) - set(same)),
        same=same,
        classes={
            name: (before.get(name, 0), plan.class_rows.get(name, 0)) for name in map(str, plan.entry["classes"])
        },
    )
