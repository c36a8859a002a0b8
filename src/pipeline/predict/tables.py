"""A table in, labels out: `trackstack predict`."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from pipeline.contract.catalog import CATALOG_FILE, load_dataset
from pipeline.import_data.columns import list_some
from pipeline.import_data.contents.dates import fitting_formats, seconds
from pipeline.import_data.contents.spellings import plain_name
from pipeline.import_data.contents.values import MissingWords, is_missing, mark_problems, number_text
from pipeline.import_data.reading.blocks import read_blocks
from pipeline.import_data.reading.dialect import DialectOptions, Sample, read_sample, refuse_unused
from pipeline.import_data.reading.file_kinds import differing_units
from pipeline.import_data.survey import survey_numbers
from pipeline.predict.classifier import CLASSIFIER_FOLDER, Classifier, Columns
from trackstack import UserError
from trackstack.core.params import load_yaml
from trackstack.records.promotion.promote import model_folder
from trackstack.records.promotion.versions import CHAMPION, read_models
from trackstack.system.git import is_in_git
from trackstack.tracking.addresses import database_to_open, mlflow_uri, with_password
from trackstack.tracking.environment import home
from trackstack.training.determinism import configure_torch

DVC_FILE = Path("dvc.yaml")
GUESSED = DialectOptions()


def predict(
    table: Path,
    model: str | None,
    out: Path | None = None,
    missing: tuple[str, ...] = (),
    dialect: DialectOptions = GUESSED,
    date_formats: tuple[str, ...] = (),
    extra: tuple[str, ...] = (),
) -> tuple[pl.DataFrame, str]:
    """Classify the rows of a CSV file; the result, and a line about it.

    Args:
        model: a model folder, a promoted model such as `NAME`, `NAME@champion` or `NAME@v2`, or an MLflow URI such as
            `models:/NAME@champion`; None for the one that dvc.yaml names.
        out: written as well when given: CSV or Parquet, by its suffix.
        missing: words that stand for a missing value, beside the usual ones.
        dialect: what of the file's dialect is not to be guessed.
        date_formats: of dates, tried before the usual ones.
        extra: columns of the table that are kept in the result, as they are written in a window's first row.

    Raises:
        UserError: a file that cannot be read, or rows that the model does not take; nothing is written then.
    """
    if out is not None and (out.suffix not in (".csv", ".parquet") or not out.absolute().parent.is_dir()):
        raise UserError(f"{out}: expected a .csv or .parquet file in a folder that exists")
    with _model_folder(model or _own_model()) as folder:
        classifier = Classifier(folder)
    settings = classifier.description["train"]
    configure_torch(settings["threads"], settings.get("deterministic", True))
    sample = read_sample(table, table.name, dialect)
    refuse_unused(dialect, [sample])
    _refuse_other_table(sample, classifier, extra)
    text = pl.concat(read_blocks(sample))
    rows, notes = _read(text, sample, classifier, missing, date_formats)
    try:
        found = classifier.classify(rows, lambda row: f"line {row + sample.lines_above() + 1}")
    except UserError as error:
        raise UserError(f"{table}: {error}") from None
    labels = _with_extra(pl.DataFrame(found), text, extra)
    if out is not None:
        partial = out.with_name(f".{out.name}.partial")
        labels.write_parquet(partial) if out.suffix == ".parquet" else partial.write_text(
            as_csv(labels), encoding="utf-8"
        )
        partial.replace(out)
    return labels, "; ".join([_summary(len(labels), rows, classifier), *notes, *classifier.unknown_notes(rows)])


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
        with _promoted(model) as folder:
            yield folder
        return
    from trackstack.tracking.sinks.mlflow_sink import SETTINGS

    uri = mlflow_uri(home())
    if (database := database_to_open(uri)) and not database.exists():  # MLflow would make it
        raise UserError(f"--model {model}: {database}: no such database; MLFLOW_TRACKING_URI may name another")
    with tempfile.TemporaryDirectory() as folder:
        with _variables(SETTINGS | dict(os.environ) | {"MLFLOW_TRACKING_URI": with_password(uri)}):
            import mlflow

            try:
                download = Path(mlflow.artifacts.download_artifacts(artifact_uri=model, dst_path=folder))
            except Exception as error:  # MLflow and its stores raise classes of many packages
                reason = str(error).strip().partition("\n")[0]
                raise UserError(f"--model {model}: MLflow cannot give it ({reason})") from None
        if not (download / CLASSIFIER_FOLDER).is_dir():
            raise UserError(f"--model {model}: not a model that trackstack logged, which has a folder classifier")
        yield download / CLASSIFIER_FOLDER


@contextlib.contextmanager
def _variables(wanted: dict[str, str]) -> Iterator[None]:
    """The environment of this process during the block: MLflow takes its addresses from nowhere else."""
    before = dict(os.environ)
    os.environ.update(wanted)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _promoted(model: str) -> Iterator[Path]:
    """A folder as it is, or that of a promoted model; UserError where both are there."""
    name = model.partition("@")[0]
    is_promoted = "/" not in model and is_in_git(Path()) and name in read_models(Path(), name)
    if not is_promoted:
        if "/" not in model and not Path(model).exists():
            raise UserError(f"--model {model}: no such folder, and no such promoted model (trackstack runs promoted)")
        yield Path(model)
    elif Path(model).exists():
        raise UserError(f"--model {model}: a folder and a promoted model; type ./{model}, or {name}@{CHAMPION}")
    else:
        with model_folder(model, home(), Path()) as folder:
            yield folder


def _refuse_other_table(sample: Sample, classifier: Classifier, extra: tuple[str, ...]) -> None:
    """UserError for a column to keep that is not there, or for features in other units."""
    made = [*classifier.predicted_columns(), *classifier.probability_columns(), "row"]
    for name in extra:
        if name not in sample.header:
            raise UserError(f"{sample.file}: --extra {name}: no such column; there are {list_some(sample.header)}")
        if name in made:
            raise UserError(f"{sample.file}: --extra {name}: the result has a column of that name; rename it")
    units = {feature["name"]: feature.get("unit", "") for feature in classifier.description["features"]}
    for name in differing_units(units, sample.units):
        raise UserError(
            f"{sample.file}, line {sample.lines_above()}: {name} is in {sample.units[name]}; the model was trained "
            f"on {units[name]}: convert it, or correct the word where only that differs"
        )


def _with_extra(labels: pl.DataFrame, text: pl.DataFrame, extra: tuple[str, ...]) -> pl.DataFrame:
    """The result with columns of the table, after the number of the row."""
    kept = [text[name][labels["row"]] for name in dict.fromkeys(extra) if name not in labels.columns]
    at = labels.columns.index("row") + 1
    return labels.select(*labels.columns[:at], *kept, *labels.columns[at:])


def _read(
    text: pl.DataFrame,
    sample: Sample,
    classifier: Classifier,
    missing: tuple[str, ...],
    date_formats: tuple[str, ...],
) -> tuple[Columns, list[str]]:
    """The columns of a table that matter (numbers float32 and times float64 with NaN for missing; categories and
    keys as text), and what was changed.
    """
    usual = _words_of_dataset(classifier.description.get("dataset", ""))
    words = MissingWords.of((*missing, *usual))
    features = {feature["name"]: feature for feature in classifier.description["features"]}
    keys = classifier.key_columns()
    rows = text.select(name for name in sample.header if name in (*features, *keys))
    kinds = {name: features[name].get("kind", "number") for name in rows.columns if name in features}
    numbers = survey_numbers(rows, sample, [name for name in kinds if kinds[name] == "number"], words.numbers)
    for problem in mark_problems(numbers, sample).values():
        raise UserError(problem)
    columns: dict[str, np.ndarray] = {}
    notes = _words_notes(rows.select(*kinds), usual)
    for name in sample.header:
        kind = kinds.get(name)
        if kind == "category":
            columns[name], changed = _categories(rows[name], features[name]["categories"], (*missing, *usual))
            notes += [f"{name}: {changed}"] if changed else []
        elif kind == "time":
            columns[name], said = _times(rows, name, sample, words.numbers, date_formats)
            notes += said
        elif kind:
            columns[name] = _numbers(rows, name, sample, words.numbers).to_numpy()
        else:
            columns[name] = rows[name].str.strip_chars().to_numpy() if name in keys else np.empty(0)
    return columns, notes


def _words_of_dataset(name: str) -> tuple[str, ...]:
    """Words that stood for a missing value in the files that the model's dataset was made of, where it is here."""
    try:
        recipe = load_dataset(name).recipe
    except UserError:  # a model may be used anywhere
        return ()
    return recipe.missing if recipe else ()


def _words_notes(rows: pl.DataFrame, words: tuple[str, ...]) -> list[str]:
    small = tuple(word.strip().lower() for word in words)
    counts = rows.select(is_missing(name, small).sum().alias(name) for name in rows.columns)
    return [f"{one.name}: {one[0]:,} missing, by the words of {CATALOG_FILE}" for one in counts if one[0]]


def _categories(text: pl.Series, categories: list[str], missing: tuple[str, ...]) -> tuple[np.ndarray, str]:
    """Categories as the model knows them, None where one is missing; and which were spelled in another way."""
    # A category that is called like a word for missing values was kept when it came.
    words = MissingWords.of(missing, categories).names
    values = text.str.strip_chars()
    values = values.to_frame(text.name).select(pl.when(~is_missing(text.name, words)).then(text.name)).to_series()
    plain = [plain_name(category) for category in categories]
    other = {
        value: categories[plain.index(plain_name(value))]
        for value in values.unique().drop_nulls().sort()
        if value not in categories and plain.count(plain_name(value)) == 1
    }
    shown = ", ".join(f"{value!r} is read as {category!r}" for value, category in other.items())
    return values.replace(other).to_numpy(), shown


def _numbers(
    rows: pl.DataFrame, name: str, sample: Sample, words: tuple[str, ...], kind: Any = pl.Float32
) -> pl.Series:
    """Numbers, null where one is missing; UserError at another text."""
    number = pl.when(~is_missing(name, words)).then(number_text(name, sample.dialect))
    text, values = rows.select(text=number, values=number.cast(kind, strict=False)).get_columns()
    _refuse_others(rows[name], text, values, sample, "a number")
    return values


def _refuse_others(written: pl.Series, text: pl.Series, values: pl.Series, sample: Sample, expected: str) -> None:
    if (faulty := (values.is_null() & text.is_not_null()).arg_true()).len():
        value, line = written[faulty[0]].strip(), faulty[0] + sample.lines_above() + 1
        what = f"{written.name} is {value!r}; expected {expected}, or --missing for such words"
        raise UserError(f"{sample.file}: line {line}: {what}")


def _times(
    rows: pl.DataFrame, name: str, sample: Sample, words: tuple[str, ...], given: tuple[str, ...]
) -> tuple[np.ndarray, list[str]]:
    """Times float64 in seconds since 1970, NaN where one is missing, and what was taken for granted; UserError at
    another text, and where dates have two readings."""
    stamp = pl.when(~is_missing(name, words)).then(pl.col(name).str.strip_chars())
    text = rows.select(stamp).to_series()
    present = text.drop_nulls().unique(maintain_order=True)
    if present.cast(pl.Float64, strict=False).is_not_null().any():
        values = _numbers(rows, name, sample, words, pl.Float64)
        return values.to_numpy(), [f"{name}: numbers, taken for seconds since 1970"]
    formats = fitting_formats(present, given) or fitting_formats(present[:1], given)
    chosen = [one for one in given if one in formats] or list(formats)
    if present.len() and len(chosen) > 1 and formats == fitting_formats(present, given):
        ways = " or ".join(f"--date-format '{one}'" for one in chosen)
        raise UserError(
            f"{sample.file}: {name} is {present[0]!r}: the day or the month first? No row tells; type: {ways}"
        )
    read = seconds(stamp, chosen[0]) if chosen else pl.lit(None, pl.Float64)
    values = rows.with_columns(read.alias(name))[name]
    _refuse_others(rows[name], text, values, sample, "a date like those in other rows")
    return values.to_numpy(), []
