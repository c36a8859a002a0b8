"""Rows to labels and probabilities, or to amounts: for `trackstack predict`, and for MLflow's pyfunc.

Rows are cut into windows as the tensor cache is: a window never crosses from one group or series to the next. Where
a table has no such columns, all of it is one recording.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.modeling.saved_model import load_model, predict_windows
from pipeline.windows.dataset import TensorCache, WindowDataset
from pipeline.windows.encoding import encode
from pipeline.windows.slicing import window_starts
from trackstack import UserError
from trackstack.training.device import choose_device

Columns = Mapping[str, np.ndarray]
CLASSIFIER_FOLDER = "classifier"
"""In a model of MLflow: the model folder that its pyfunc reads."""


class Classifier:
    """A model folder, ready for rows."""

    def __init__(self, folder: Path):
        self.model, self.description = load_model(folder)
        if "stride" not in self.description:
            raise UserError(f"{folder}: of an older version, without a stride; type: dvc repro train")
        self.device = choose_device()

    def feature_columns(self) -> list[str]:
        """The columns that rows must have: the features."""
        return [feature["name"] for feature in self.description["features"]]

    def key_columns(self) -> list[str]:
        """The columns that rows may have: where the value of one changes, a recording ends."""
        group, series = self.description["group"], self.description["series"]
        return [name for name in (group, series) if name] if series else []

    def probability_columns(self) -> list[str]:
        """The columns of the result that hold the classes' probabilities; none of a regression."""
        return [f"p_{name}" for name in self.description.get("classes", ())]

    def predicted_columns(self) -> list[str]:
        """The columns of the result that hold the class, or the amount of each target."""
        targets = [target["name"] for target in self.description.get("targets", ())]
        return [f"predicted_{name}" for name in targets] if len(targets) > 1 else ["predicted"]

    def classify(self, columns: Columns, name_row: Callable[[int], str] = "row {}".format) -> dict[str, np.ndarray]:
        """A row per window: group and series where known, its first row, the label, and each class's probability.

        Of a regression the amounts, in their own units, in the place of label and probabilities.

        Args:
            columns: equally long; others than the features and keys are not looked at.
            name_row: what a message calls the row of a number, counted from 0.

        Raises:
            UserError: a column is missing, a value is none that the model was trained on, or no recording is as long
                as a window.
        """
        description = self.description
        if missing := [name for name in self.feature_columns() if name not in columns]:
            raise UserError(
                f"no column {_list(missing)}; expected {_list(self.feature_columns())}, not {_list(columns)}"
            )
        features = description["features"]
        values = {feature["name"]: _as_trained(columns[feature["name"]], feature) for feature in features}
        _refuse_faults(values, features, name_row)
        rows_TC = encode(values, features)
        starts = self._starts(columns, len(rows_TC))
        mean_C, std_C = (torch.tensor(description[name], dtype=torch.float32) for name in ("mean", "std"))
        labels = torch.zeros(len(rows_TC))  # unknown
        splits = {"new": torch.from_numpy(starts)}
        cache = TensorCache(torch.from_numpy(rows_TC), labels, splits, mean_C, std_C, description)
        found_WK = predict_windows(self.model, description, WindowDataset(cache, "new"), self.device)
        known = {key: np.asarray(columns[key])[starts] for key in self.key_columns() if key in columns}
        known["row"] = starts
        if "targets" in description:
            return known | dict(zip(self.predicted_columns(), found_WK.astype(np.float32).T, strict=True))
        predicted_W = np.array(description["classes"])[found_WK.argmax(1)]
        return known | {"predicted": predicted_W} | dict(zip(self.probability_columns(), found_WK.T, strict=True))

    def predict(self, model_input: Any, params: dict[str, Any] | None = None) -> Any:
        """What MLflow calls: a pandas data frame of rows to one of windows."""
        import pandas as pd

        columns = {name: model_input[name].to_numpy() for name in model_input.columns}
        for note in self.unknown_notes(columns):
            warnings.warn(note, stacklevel=2)
        return pd.DataFrame(self.classify(columns))

    def unknown_notes(self, columns: Columns) -> list[str]:
        """A line for each feature with values that are none of its categories."""
        notes = []
        for feature in self.description["features"]:
            if feature.get("kind") == "category" and feature["name"] in columns:
                values = _as_trained(columns[feature["name"]], feature)
                unknown = values[_is_unknown(values, feature)].tolist()
                if unknown:
                    what = f"{len(unknown):,} value{'s' * (len(unknown) > 1)} of {feature['name']}"
                    is_are = "are" if len(unknown) > 1 else "is"
                    notes.append(f"{what} {is_are} unknown ({_list(dict.fromkeys(unknown))}): taken for missing")
        return notes

    def _starts(self, columns: Columns, num_rows: int) -> np.ndarray:
        changes = np.zeros(num_rows, bool)
        for key in self.key_columns():
            if key in columns:
                values = np.asarray(columns[key])
                changes[1:] |= values[1:] != values[:-1]
        edges = np.array([0, *np.flatnonzero(changes), num_rows])
        window = self.description["window"]
        starts = window_starts(edges[:-1], edges[1:], window, self.description["stride"])
        if len(starts) == 0:
            raise UserError(
                f"the longest recording has {np.diff(edges).max():,} rows; "
                f"expected {window} or more, the model's window"
            )
        return starts


def _load_pyfunc(path: str) -> Classifier:
    """The entry point of an MLflow model whose `loader_module` is this one."""
    return Classifier(Path(path))


def _list(names: Iterable[Any]) -> str:
    """A list for a message: the first of many, without control characters."""
    shown = ["".join(letter if letter.isprintable() else "?" for letter in str(name))[:40] for name in names]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10:,} more" if len(shown) > 10 else "")


def _as_trained(values: np.ndarray, feature: Mapping[str, Any]) -> np.ndarray:
    """Numbers as float32, times as float64 seconds since 1970, categories as texts with None for a missing one."""
    values, kind = np.asarray(values), feature.get("kind", "number")
    if kind == "category":
        absent = [value is None or (isinstance(value, float) and np.isnan(value)) for value in values.tolist()]
        texts = [None if none else str(value) for value, none in zip(values.tolist(), absent, strict=True)]
        return np.array(texts, object)
    if kind == "time" and values.dtype.kind == "M":
        microseconds = values.astype("datetime64[us]")
        return np.where(np.isnat(microseconds), np.nan, microseconds.astype(np.int64) / 1e6)
    return values.astype(np.float64 if kind == "time" else np.float32)


def _is_unknown(values: np.ndarray, feature: Mapping[str, Any]) -> np.ndarray:
    known = {None, *feature["categories"]}
    return np.array([value not in known for value in values.tolist()], bool)


def _refuse_faults(columns: Columns, features: list[dict[str, Any]], name_row: Callable[[int], str]) -> None:
    """UserError at a value that training would have set aside."""
    for feature in features:
        column, rejects = columns[feature["name"]], feature["missing"] == "reject"
        if feature.get("kind") == "category":
            missing = np.array([value is None for value in column], bool)
            faulty = (missing | _is_unknown(column, feature)) & rejects
            wanted = f"one of {_list(feature['categories'])}"
        else:
            missing, faulty = np.isnan(column), np.isinf(column)
            low, high = feature["range"] or (-np.inf, np.inf)
            faulty |= missing & rejects
            faulty |= (column < np.float32(low)) | (column > np.float32(high))
            wanted = f"a number from {low:g} to {high:g}" if feature["range"] else "a finite number"
        if faulty.any():
            row = int(np.argmax(faulty))
            value = column[row] if isinstance(column[row], str) else f"{column[row]:g}" if not missing[row] else ""
            more = f" (and {faulty.sum() - 1:,} more)" if faulty.sum() > 1 else ""
            raise UserError(f"{name_row(row)}: {feature['name']} is {value or 'missing'}; expected {wanted}{more}")
