"""A table in, labels out: `trackstack predict`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl

from pipeline.import_data.dialect import DialectOptions, read_sample
from pipeline.import_data.survey import read_blocks, survey_numbers
from pipeline.import_data.values import MissingWords, is_missing, mark_problems, number_text
from pipeline.predict.classifier import CLASSIFIER_FOLDER, Classifier, Columns
from trackstack import UserError
from trackstack.core.params import load_yaml
from trackstack.tracking.environment import home, mlflow_uri
from trackstack.training.determinism import configure_torch

DVC_FILE = Path("dvc.yaml")
GUESSED = DialectOptions()


def predict(
    table: Path,
    model: str | None,
    out: Path | None = None,
    missing: tuple[str, ...] = (),
    dialect: DialectOptions = GUESSED,
) -> tuple[pl.DataFrame, str]:
    """Classify the rows of a CSV file; the result, and a line about it.

    Args:
        model: a model folder, or an MLflow URI such as `models:/cnn/1`; None for the one that dvc.yaml names.
        out: written as well when given: CSV or Parquet, by its suffix.
        missing: words that stand for a missing value, beside the usual ones.
        dialect: what of the file's dialect is not to be guessed.

    Raises:
        UserError: a file that cannot be read, or rows that the model does not take; nothing is written then.
    """
    if out is not None and (out.suffix not in (".csv", ".parquet") or not out.absolute().parent.is_dir()):
        raise UserError(f"{out}: expected a .csv or .parquet file in a folder that exists")
    with _model_folder(model or _own_model()) as folder:
        classifier = Classifier(folder)
    settings = classifier.description["train"]
    configure_torch(settings["threads"], settings.get("deterministic", True))
    rows, header = _read(table, classifier, missing, dialect)
    try:
        labels = pl.DataFrame(classifier.classify(rows, lambda row: f"line {row + header + 1}"))
    except UserError as error:
        raise UserError(f"{table}: {error}") from None
    if out is not None:
        partial = out.with_name(f".{out.name}.partial")
        labels.write_parquet(partial) if out.suffix == ".parquet" else partial.write_text(as_csv(labels))
        partial.replace(out)
    return labels, _summary(len(labels), rows, classifier)


def _summary(count: int, rows: Columns, classifier: Classifier) -> str:
    model, plural = classifier.description, "s" * (count > 1)
    what = f"window{plural} of {model['window']} rows" if model["series"] else f"row{plural}"
    unknown = "" if model["series"] in (None, *rows) else f"; no column {model['series']}: taken for one recording"
    return f"{count:,} {what}, by {model['model']} of run {model['run']}{unknown}"


def as_csv(labels: pl.DataFrame) -> str:
    """The table as CSV, probabilities to six decimals; amounts, which are float32, to the last digit."""
    return labels.write_csv(float_precision=None if pl.Float32 in labels.dtypes else 6)


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
    from trackstack.tracking.sinks.mlflow_sink import SETTINGS, database_file

    uri = mlflow_uri(home())
    if (database := database_file(uri)) and not database.exists():  # MLflow would make it
        raise UserError(f"--model {model}: {database}: no such database; MLFLOW_TRACKING_URI may name another")
    os.environ.update(SETTINGS | dict(os.environ) | {"MLFLOW_TRACKING_URI": uri})
    import mlflow

    with tempfile.TemporaryDirectory() as folder:
        try:
            download = Path(mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder))
        except Exception as error:  # MLflow and its stores raise classes of many packages
            reason = str(error).strip().partition("\n")[0]
            raise UserError(f"--model {model}: MLflow cannot give it ({reason})") from None
        if not (download / CLASSIFIER_FOLDER).is_dir():
            raise UserError(f"--model {model}: not a model that trackstack logged, which has a folder classifier")
        yield download / CLASSIFIER_FOLDER


def _read(
    path: Path, classifier: Classifier, missing: tuple[str, ...], dialect: DialectOptions
) -> tuple[Columns, int]:
    """The columns of a CSV file that matter (features float32 with NaN for missing, keys as text); the header's line.

    Delimiter, decimal mark and encoding are guessed as `trackstack catalog add` does.
    """
    sample = read_sample(path, path.name, dialect)
    words = MissingWords.of(missing).numbers
    features, keys = classifier.feature_columns(), classifier.key_columns()
    wanted = [name for name in sample.header if name in (*features, *keys)]
    rows = pl.concat(block.select(wanted) for block in read_blocks(sample))
    surveys = {name: survey_numbers(rows, sample, name, words) for name in wanted if name in features}
    for problem in mark_problems(surveys, sample).values():
        raise UserError(problem)
    columns: dict[str, np.ndarray] = {}
    for name in sample.header:
        if name not in features:
            columns[name] = rows[name].str.strip_chars().to_numpy() if name in keys else np.empty(0)
            continue
        number = pl.when(~is_missing(name, words)).then(number_text(name, sample.dialect))
        text, values = rows.select(text=number, values=number.cast(pl.Float32, strict=False)).get_columns()
        if (faulty := (values.is_null() & text.is_not_null()).arg_true()).len():
            first = faulty[0]
            value = rows[name][first].strip()
            line = first + sample.skipped + 2
            raise UserError(
                f"{path}: line {line}: {name} is {value!r}; expected a number, or --missing for such words"
            )
        columns[name] = values.to_numpy()
    return columns, sample.skipped + 1
