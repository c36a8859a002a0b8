"""What a person should know of a plan: notes."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

from pipeline.import_data.columns import ImportOptions, list_some, quoted
from pipeline.import_data.contents.values import NUMBER
from pipeline.import_data.reading.dialect import Sample
from pipeline.import_data.suitability import MIN_GROUPS
from pipeline.import_data.survey import LARGEST_FLOAT32, ColumnSurvey

RARE = 0.1
"""A class with less than that of an even share is rare."""
MANY_NUMBERS = 10
"""More whole numbers than that are seldom classes: digits are ten."""
MIN_ROWS = 10
"""Fewer rows do not show that a column identifies them."""
FEWEST_LEVELS = 1000
"""A column whose range has fewer steps of float32 has lost what it may tell."""
CALLED_PERSON = re.compile(
    r"(?i)(.*[_ .-])?(person|subjects?|subj|participants?|probands?|patients?|pat|pid|sid|user|customer|animal|mouse|"
    r"rat|monkey|speaker|rider|child|student|pupil|athlete|volunteer|donor|rater)"
    r"([_ .-]?(id|no|nr|num|number|code|name|key))?|id|name"
)
CALLED_ID = re.compile(r"(?i)(.*[_ .-])?(id|ids|idx|index|key|nr|no|num|number|serial|rownames?)|[a-z]+(id|num)")


def set_aside_notes(count: int, broken: int, names: Mapping[str, ColumnSurvey]) -> list[str]:
    """How many rows will be set aside, and why.

    Args:
        count: of all such rows.
        broken: of lines with another number of fields.
        names: label, group, series and time.
    """
    if not count:
        return []
    reasons = [f"no {name} in {column.missing:,}" for name, column in names.items() if column.missing]
    reasons += [f"another number of fields in {broken:,}"] if broken else []
    words = sorted({word for column in names.values() for word in column.words})
    keep = f"; {', '.join(map(repr, words))} counts as missing, unless --not-missing says no" if words else ""
    return [f"{count:,} row{'s' * (count > 1)} will be set aside: {', '.join(reasons)}{keep}"]


def label_notes(options: ImportOptions, label: ColumnSurvey, folds: int) -> list[str]:
    """Classes that are rare, or rather amounts."""
    notes, values = [], label.values
    if not options.series:
        rare = [f"{name} {count}" for name, count in sorted(values.items()) if count < folds]
        if rare:
            notes.append(
                f"{options.label}: fewer rows than the {folds} folds in {list_some(rare)}; such a class may lack in "
                "training, validation or test"
            )
    share = sum(values.values()) / max(1, len(values))
    if values and (few := min(values, key=lambda name: values[name])) and values[few] < RARE * share:
        notes.append(
            f"{options.label}: {few} has {values[few]:,} of {sum(values.values()):,} rows; so that rare classes "
            "count as much as frequent ones: -S losses.likelihood.class_weights=balanced"
        )
    if len(values) > MANY_NUMBERS and all(re.fullmatch(r"[-+]?\d+([.,]0*)?", value) for value in values):
        notes.append(
            f"{options.label}: {len(values)} whole numbers, each a class without an order; if it is an amount: "
            "--task regression"
        )
    return notes


def category_notes(categories: Mapping[str, ColumnSurvey]) -> list[str]:
    """Words in categories that count as missing values."""
    return [
        f"{name}: {list_some(list(map(repr, column.words)))} counts as missing in {column.words.total():,} row"
        f"{'s' * (column.words.total() > 1)}; --not-missing {quoted(next(iter(column.words)))} makes it a category"
        for name, column in categories.items()
        if column.words
    ]


def group_notes(options: ImportOptions, sample: Sample) -> list[str]:
    """Columns that seem to say whose rows are whose, where no group is named: a person would be in several splits."""
    if options.group or options.group_from:
        return []
    notes = []
    for number, name in enumerate(sample.header):
        values = {row[number].strip() for row in sample.rows}
        repeated = MIN_GROUPS <= len(values) <= len(sample.rows) / 2
        if repeated and CALLED_PERSON.fullmatch(name) and name not in (*options.label_columns(), options.series):
            notes.append(
                f"{name}: {len(values):,} values, each in several rows, as persons have; --group {quoted(name)} "
                "keeps the rows of each in one split"
            )
    return notes


def shadow_notes(added: Mapping[str, str], features: list[str]) -> list[str]:
    """Features that are called like what comes from the names of files, and may be the same."""
    return [
        f"{name}: trained on, though {column} is from the files' names; --extra {quoted(name)} does not train on it"
        for column in added
        if (name := column.removesuffix("_file")) != column and name in features
    ]


def header_notes(sample: Sample) -> list[str]:
    """Numbers as names, which may be a row."""
    names = [name for name in sample.header if sample.has_header and NUMBER.fullmatch(name)]
    if not names:
        return []
    return [f"{list_some(names)}: numbers as names of columns; if that line is a row: --no-header"]


def feature_notes(
    features: list[str], targets: list[str], columns: Mapping[str, ColumnSurvey], sample: Sample
) -> list[str]:
    """Columns that the model cannot tell apart, and features that tell one row from another and no more.

    Args:
        features: those that are numbers.
        targets: the amounts of a regression.
    """
    notes, identifying = [], []
    for name in (*features, *(name for name in targets if name in sample.header)):
        values = _numbers(name, sample)
        apart, kept = len(np.unique(values)), len(np.unique(values.astype(np.float32)))
        low, high = columns[name].low, columns[name].high
        step = float(np.spacing(np.float32(min(max(abs(low), abs(high)), 1e38))))
        if kept < 0.9 * apart or (low < high and step > (high - low) / FEWEST_LEVELS):
            notes.append(
                f"{name}: of {apart:,} different values float32, in which models compute, tells {kept:,} apart; "
                "subtract the smallest value first"
            )
        whole = len(values) and bool((values == np.floor(values)).all())
        many = len(values) >= (MIN_ROWS if CALLED_ID.fullmatch(name) else 2 * MIN_ROWS)
        if name in features and whole and many and apart == len(values) == len(sample.rows):
            identifying.append(name)
    if identifying:
        keep = " ".join(f"--extra {quoted(name)}" for name in identifying[:20])
        notes.append(
            f"{list_some(identifying)}: another whole number in every row, as if it identified rows; "
            f"{keep} does not train on it"
        )
    return notes


def _numbers(name: str, sample: Sample) -> np.ndarray:
    """The values of a column in the file's beginning, as far as they are numbers."""
    at = sample.header.index(name)
    dialect = sample.dialect
    texts = [row[at].strip() for row in sample.rows]
    texts = [text.replace(dialect.thousands, "") if dialect.thousands else text for text in texts]
    texts = [text.replace(",", ".") if dialect.decimal == "," else text for text in texts]
    values = np.array([float(text) for text in texts if NUMBER.fullmatch(text)])
    return values[np.abs(values) <= LARGEST_FLOAT32]
