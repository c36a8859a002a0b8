"""Rows to labels and probabilities, or to amounts: for `trackstack predict`, and for MLflow's pyfunc.

Rows are cut into windows as the tensor cache is: a window never crosses from one group or series to the next. Where
a table has no such columns, all of it is one recording.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipeline.modeling.saved_model import load_model, predict_windows
from pipeline.windows.dataset import TensorCache, WindowDataset
from pipeline.windows.slicing import normalise, window_starts
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
        rows_TC = np.stack([np.asarray(columns[name], np.float32) for name in self.feature_columns()], axis=1)
        _refuse_faults(rows_TC, description["features"], name_row)
        starts = self._starts(columns, len(rows_TC))
        mean_C, std_C = (np.array(description[name], np.float32) for name in ("mean", "std"))
        signal = torch.from_numpy(normalise(rows_TC, mean_C, std_C))
        labels = torch.zeros(len(signal))  # unknown
        splits = {"new": torch.from_numpy(starts)}
        cache = TensorCache(signal, labels, splits, torch.from_numpy(mean_C), torch.from_numpy(std_C), description)
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

        return pd.DataFrame(self.classify({name: model_input[name].to_numpy() for name in model_input.columns}))

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


def _refuse_faults(rows_TC: np.ndarray, features: list[dict[str, Any]], name_row: Callable[[int], str]) -> None:
    """UserError at a value that training would have set aside."""
    for feature, column in zip(features, rows_TC.T, strict=True):
        missing, faulty = np.isnan(column), np.isinf(column)
        low, high = feature["range"] or (-np.inf, np.inf)
        if feature["missing"] == "reject":
            faulty |= missing
        faulty |= (column < np.float32(low)) | (column > np.float32(high))
        if faulty.any():
            row = int(np.argmax(faulty))
            wanted = f"a number from {low:g} to {high:g}" if feature["range"] else "a finite number"
            shown = "missing" if missing[row] else f"{column[row]:g}"
            more = f" (and {faulty.sum() - 1:,} more)" if faulty.sum() > 1 else ""
            raise UserError(f"{name_row(row)}: {feature['name']} is {shown}; expected {wanted}{more}")
