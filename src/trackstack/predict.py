"""Rows to labels and probabilities: `trackstack predict`, and what MLflow's pyfunc loads.

Rows are cut into windows as the tensor cache is: a window never crosses from one group or series to the next. Where
a table has no such columns, all of it is one recording.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from trackstack import UserError
from trackstack.device import choose_device, make_deterministic
from trackstack.params import load_yaml
from trackstack.saved_model import classify_windows, load_model
from trackstack.slicing import normalise, window_starts
from trackstack.windows import TensorCache, WindowDataset

if TYPE_CHECKING:
    import polars as pl

Columns = Mapping[str, np.ndarray]
DVC_FILE = Path("dvc.yaml")
CLASSIFIER_FOLDER = "classifier"
"""In a model of MLflow: the model folder that its pyfunc reads."""


class Classifier:
    """A model folder, ready to classify rows."""

    def __init__(self, folder: Path):
        self.model, self.description = load_model(folder)
        if "stride" not in self.description:
            raise UserError(f"{folder}: of an older version, without word on its windows; type: dvc repro train")
        self.device = choose_device()

    def feature_columns(self) -> list[str]:
        """The columns that rows must have: the features."""
        return [feature["name"] for feature in self.description["features"]]

    def key_columns(self) -> list[str]:
        """The columns that rows may have: where the value of one changes, a recording ends."""
        group, series = self.description["group"], self.description["series"]
        return [name for name in (group, series) if name] if series else []

    def probability_columns(self) -> list[str]:
        """The columns of the result that hold the classes' probabilities."""
        return [f"p_{name}" for name in self.description["classes"]]

    def classify(self, columns: Columns, name_row: Callable[[int], str] = "row {}".format) -> dict[str, np.ndarray]:
        """A row per window: group and series where known, its first row, the label, and each class's probability.

        Args:
            columns: equally long; others than the features and keys are not looked at.
            name_row: what a message calls the row of a number, counted from 0.

        Raises:
            UserError: a column is missing, a value is none that the model was trained on, or no recording is as long
                as a window.
        """
        about = self.description
        if missing := [name for name in self.feature_columns() if name not in columns]:
            raise UserError(
                f"no column {_some(missing)}; expected {_some(self.feature_columns())}, not {_some(columns)}"
            )
        rows_TC = np.stack([np.asarray(columns[name], np.float32) for name in self.feature_columns()], axis=1)
        _refuse_faults(rows_TC, about["features"], name_row)
        starts = self._starts(columns, len(rows_TC))
        mean_C, std_C = (np.array(about[name], np.float32) for name in ("mean", "std"))
        signal = torch.from_numpy(normalise(rows_TC, mean_C, std_C))
        labels = torch.zeros(len(signal), dtype=torch.int64)  # unknown
        splits = {"new": torch.from_numpy(starts)}
        cache = TensorCache(signal, labels, splits, torch.from_numpy(mean_C), torch.from_numpy(std_C), about)
        probs_WK = classify_windows(self.model, about, WindowDataset(cache, "new"), self.device)
        known = {key: np.asarray(columns[key])[starts] for key in self.key_columns() if key in columns}
        probs = dict(zip(self.probability_columns(), probs_WK.T, strict=True))
        return known | {"row": starts, "predicted": np.array(about["classes"])[probs_WK.argmax(1)]} | probs

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


def predict(
    table: Path, model: str | None, out: Path | None = None, missing: tuple[str, ...] = ()
) -> tuple[pl.DataFrame, str]:
    """Classify the rows of a CSV file; the result, and a line about it.

    Args:
        model: a model folder, or an MLflow URI such as `models:/cnn/1`; None for the one that dvc.yaml names.
        out: written as well when given: CSV or Parquet, by its suffix.
        missing: words that stand for a missing value, beside the usual ones.

    Raises:
        UserError: a file that cannot be read, or rows that the model does not take; nothing is written then.
    """
    import polars as pl

    if out is not None and (out.suffix not in (".csv", ".parquet") or not out.absolute().parent.is_dir()):
        raise UserError(f"{out}: expected a .csv or .parquet file in a folder that exists")
    with _model_folder(model or _own_model()) as folder:
        classifier = Classifier(folder)
    make_deterministic(classifier.description["train"]["threads"])
    rows = _read(table, classifier, missing)
    try:
        # The header is line 1.
        found = pl.DataFrame(classifier.classify(rows, lambda row: f"line {row + 2}"))
    except UserError as error:
        raise UserError(f"{table}: {error}") from None
    if out is not None:
        partial = out.with_name(f".{out.name}.partial")
        found.write_parquet(partial) if out.suffix == ".parquet" else partial.write_text(as_csv(found))
        partial.replace(out)
    return found, _about(len(found), rows, classifier)


def _about(count: int, rows: Columns, classifier: Classifier) -> str:
    about = classifier.description
    what = f"window{'s' * (count > 1)} of {about['window']} rows" if about["series"] else f"row{'s' * (count > 1)}"
    unknown = "" if about["series"] in (None, *rows) else f"; no column {about['series']}: taken for one recording"
    return f"{count:,} {what}, by {about['model']} of run {about['run']}{unknown}"


def as_csv(found: pl.DataFrame) -> str:
    """The table as CSV, probabilities to six decimals."""
    return found.write_csv(float_precision=6)


def _own_model() -> str:
    artifacts = (load_yaml(DVC_FILE).get("artifacts") or {}) if DVC_FILE.exists() else {}
    paths = [artifact["path"] for artifact in artifacts.values() if artifact.get("type") == "model"]
    if not paths:
        raise UserError(f"{DVC_FILE}: names no model here; expected --model with a model folder or an MLflow URI")
    return paths[0]


@contextlib.contextmanager
def _model_folder(model: str) -> Iterator[Path]:
    if ":/" not in model:
        yield Path(model)
        return
    from trackstack.tracking.environment import home, mlflow_uri
    from trackstack.tracking.sinks.mlflow_sink import SETTINGS, database_file

    uri = mlflow_uri(home())
    if (database := database_file(uri)) and not database.exists():  # MLflow would make it
        raise UserError(f"--model {model}: {database}: no such database; MLFLOW_TRACKING_URI may name another")
    os.environ.update(SETTINGS | dict(os.environ) | {"MLFLOW_TRACKING_URI": uri})
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        try:
            found = Path(mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder))
        except Exception as error:  # MLflow and its stores raise classes of many packages
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"--model {model}: MLflow cannot give it ({reason})") from None
        if not (found / CLASSIFIER_FOLDER).is_dir():
            raise UserError(f"--model {model}: not a model that trackstack logged, which has a folder classifier")
        yield found / CLASSIFIER_FOLDER


def _read(path: Path, classifier: Classifier, missing: tuple[str, ...]) -> Columns:
    """The columns of a CSV file that matter: features float32 with NaN for missing, keys as text.

    Delimiter, decimal mark and encoding are guessed as `trackstack catalog add` does.
    """
    import polars as pl

    from trackstack.own_data.guess import Given, guess
    from trackstack.own_data.survey import is_missing, number_text, read_blocks

    sample = guess(path, path.name, Given())
    features, keys = classifier.feature_columns(), classifier.key_columns()
    wanted = [name for name in sample.header if name in (*features, *keys)]
    rows = pl.concat(block.select(wanted) for block in read_blocks(sample))
    columns: dict[str, np.ndarray] = {}
    for name in sample.header:
        if name not in features:
            columns[name] = rows[name].str.strip_chars().to_numpy() if name in keys else np.empty(0)
            continue
        text = pl.when(~is_missing(name, missing)).then(number_text(name, sample.dialect.decimal))
        text, values = rows.select(text=text, values=text.cast(pl.Float32, strict=False)).get_columns()
        if (faulty := (values.is_null() & text.is_not_null()).arg_true()).len():
            first = faulty[0]
            raise UserError(
                f"{path}: line {first + 2}: {name} is {text[first]!r}; expected a number, or --missing for such words"
            )
        columns[name] = values.to_numpy()
    return columns


def _some(names: Iterable[Any]) -> str:
    """A list for a message: of many the first, and nothing that a terminal would obey."""
    shown = ["".join(letter if letter.isprintable() else "?" for letter in str(name))[:40] for name in names]
    return ", ".join(shown[:10]) + (f" and {len(shown) - 10:,} more" if len(shown) > 10 else "")


def _refuse_faults(rows_TC: np.ndarray, features: list[dict[str, Any]], name_row: Callable[[int], str]) -> None:
    """UserError at a value that training would have set aside."""
    for feature, column in zip(features, rows_TC.T, strict=True):
        missing = np.isnan(column)
        faulty, low, high = np.isinf(column), *(feature["range"] or (-np.inf, np.inf))
        if feature["missing"] == "reject":
            faulty |= missing
        faulty |= (column < np.float32(low)) | (column > np.float32(high))
        if faulty.any():
            row = int(np.argmax(faulty))
            wanted = f"a number from {low:g} to {high:g}" if feature["range"] else "a finite number"
            shown = "missing" if missing[row] else f"{column[row]:g}"
            more = f" (and {faulty.sum() - 1:,} more)" if faulty.sum() > 1 else ""
            raise UserError(f"{name_row(row)}: {feature['name']} is {shown}; expected {wanted}{more}")
