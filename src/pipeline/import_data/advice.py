"""What a person should know of a plan: notes, and settings of the parameters that fit the data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.import_data.columns import ImportOptions, list_some, quoted
from pipeline.import_data.dialect import Sample
from pipeline.import_data.survey import ColumnSurvey
from pipeline.import_data.values import NUMBER
from trackstack.core.params import Parameters

USUAL = {"tensor_cache.folds": 5, "tensor_cache.window": 200, "tensor_cache.stride": 50}
"""What a dataset has whose size asks for nothing else: `dvc exp run` leaves the last dataset's settings behind."""
MANY_NUMBERS = 10
"""More whole numbers than that are seldom classes: digits are ten."""
MIN_ROWS = 10
"""Fewer rows do not show that a column identifies them."""
FEWEST_LEVELS = 1000
"""A column whose range has fewer steps of float32 has lost what it may tell."""
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
    if len(values) > MANY_NUMBERS and all(re.fullmatch(r"[-+]?\d+([.,]0*)?", value) for value in values):
        notes.append(
            f"{options.label}: {len(values)} whole numbers, each a class without an order; if it is an amount: "
            "--task regression"
        )
    return notes


def feature_notes(features: list[str], columns: Mapping[str, ColumnSurvey], sample: Sample) -> list[str]:
    """Columns that the model cannot tell apart, and columns that tell one row from another and no more."""
    notes, identifying = [], []
    for name in features:
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
        if whole and many and apart == len(values) == len(sample.rows):
            identifying.append(name)
    if identifying:
        keep = " ".join(f"--extra {quoted(name)}" for name in identifying[:20])
        notes.append(
            f"{list_some(identifying)}: another whole number in every row, as if it identified rows; "
            f"{keep} does not train on it"
        )
    return notes


def fitting_settings(
    options: ImportOptions, columns: Mapping[str, ColumnSurvey], params: Parameters
) -> dict[str, Any]:
    """What the parameters must be for this data where they are not: folds, windows that fit recordings, a model."""
    fitting: dict[str, Any] = {}
    part = options.group or options.series
    folds = max(params.get("tensor_cache.folds"), USUAL["tensor_cache.folds"])
    fitting["tensor_cache.folds"] = min(folds, len(columns[part].values)) if part else folds
    if (options.series is None) != (params.get("train.model") == "mlp"):
        fitting["train.model"] = "cnn" if options.series else "mlp"
    if options.series:
        lengths = sorted(columns[options.series].values.values())
        usual = lengths[len(lengths) // 10]
        fits = usual >= USUAL["tensor_cache.window"]
        fitting["tensor_cache.window"] = USUAL["tensor_cache.window"] if fits else usual
        fitting["tensor_cache.stride"] = USUAL["tensor_cache.stride"] if fits else max(1, usual // 4)
        window = params.get("tensor_cache.window")
        if USUAL["tensor_cache.window"] < window <= usual:  # somebody's choice: `catalog add` proposes no such window
            del fitting["tensor_cache.window"], fitting["tensor_cache.stride"]
    return {name: value for name, value in fitting.items() if params.get(name) != value}


def folds_of(settings: Mapping[str, Any], params: Parameters) -> int:
    """The number of folds with these settings."""
    return int(settings.get("tensor_cache.folds", params.get("tensor_cache.folds")))


def _numbers(name: str, sample: Sample) -> np.ndarray:
    """The values of a column in the file's beginning, as far as they are numbers."""
    at = sample.header.index(name)
    dialect = sample.dialect
    texts = [row[at].strip() for row in sample.rows]
    texts = [text.replace(dialect.thousands, "") if dialect.thousands else text for text in texts]
    texts = [text.replace(",", ".") if dialect.decimal == "," else text for text in texts]
    return np.array([float(text) for text in texts if NUMBER.fullmatch(text)])
