"""`predict` on the table that somebody added says what `evaluate` says of the same rows, for every kind of table."""

import csv
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from support.projects import reference_params
from support.tables import write, write_workbook

from pipeline.contract.catalog import load_dataset
from pipeline.evaluate.figures import measure
from pipeline.evaluate.params import Params as EvaluateParams
from pipeline.evaluate.regression import measure_amounts
from pipeline.evaluate.tables import write_tables
from pipeline.import_data.apply import validate_files, write_entry, write_files
from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.commands import plan_dataset
from pipeline.import_data.reading.dialect import DialectOptions, read_samples
from pipeline.ingest.manifest import build_manifest
from pipeline.modeling.base import Shape, build_model, num_outputs
from pipeline.modeling.saved_model import load_model, predict_windows, save_model
from pipeline.parquet.params import Params as ParquetParams
from pipeline.parquet.stage import convert
from pipeline.predict.tables import predict
from pipeline.tensor_cache.params import Params as CacheParams
from pipeline.tensor_cache.stage import build
from pipeline.train.config import TrainingConfig
from pipeline.train.stage import describe
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack.core.params import Parameters
from trackstack.training.device import choose_device


@pytest.fixture
def folder(tmp_path, monkeypatch, settings_of_torch):
    """A checkout with a catalog and nothing else."""
    write(tmp_path / "data/catalog.yaml", "datasets:\n  other: {path: data/raw/other}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def add(path, options):
    """The raw folder of a dataset version, as `catalog add` makes it."""
    plan = plan_dataset("mine", "", options, read_samples(str(path), options.dialect))
    raw = Path(plan.entry["path"])
    raw.mkdir(parents=True)
    write_files(plan, raw)
    write_entry("mine", validate_files(plan, raw).entry)
    return raw


def evaluate_random_model(raw):
    """The predictions that `evaluate` writes of a model with random weights, without its report and record."""
    dataset = load_dataset("mine")
    settings = dataset.settings
    convert(
        *(build_manifest("mine", dataset, raw), raw, Path("processed")),
        ParquetParams(compression="zstd", max_rejected=settings.parquet.max_rejected),
    )
    cut = settings.tensor_cache
    params = CacheParams(window=cut.window, stride=cut.stride, folds=cut.folds, fold=0, validation=True)
    build(Path("processed"), Path("cache"), params)
    cache = open_cache(Path("cache"))
    values = reference_params()
    values["train"] |= {"model": "mlp", "epochs": 1, "batch_size": 16}
    if cache.task == "regression":
        values["train"]["metric"] = "f_beta"
    config = TrainingConfig.choose(Parameters(values))
    torch.manual_seed(0)
    shape = Shape(cache.signal.shape[1], cache.metadata["window"], num_outputs(cache.metadata))
    model = build_model("mlp", config.model, shape)
    save_model(Path("model"), model, describe(cache, config, "r0123456789ab", {"epoch": 0}))
    about = {"split": "test", "live": Path("live"), "profile": json.loads(Path("processed/profile.json").read_text())}
    loaded, description = load_model(Path("model"))
    windows = WindowDataset(cache, "test")
    predicted = predict_windows(loaded, description, windows, choose_device())
    measure_task = measure_amounts if cache.task == "regression" else measure
    figures = EvaluateParams(calibration_bins=10, baselines=False, threads=1)
    Path("evaluation").mkdir()
    write_tables(Path("evaluation"), measure_task(windows, predicted, figures, model=description, beside=[], **about))
    return pl.read_csv("evaluation/predictions.csv")


def rows_that_were_taken():
    """The numbers of the raw file's rows that the pipeline did not set aside."""
    with Path("processed/rejected.csv").open() as file:
        rejected = {int(row["line"]) - 2 for row in csv.DictReader(file)}
    return [row for row in range(load_dataset("mine").num_samples) if row not in rejected]


LABELS = ["ripe", "green", "Bl\u00e4tter"]


def table(rows=90):
    """Columns of all kinds, by their names."""
    random = np.random.default_rng(0)
    return {
        "size": [f"{value:.3f}" for value in random.uniform(1, 900, rows)],
        "mass": [f"{value:.1f}" for value in random.uniform(-5, 5, rows)],
        "color": [("red", "dark blue", "n/a", "7")[at] for at in random.integers(0, 4, rows)],
        "new": [("true", "false")[at] for at in random.integers(0, 2, rows)],
        "when": [f"{1 + at % 28:02}.{1 + at % 12:02}.2024 {at % 24:02}:30" for at in random.integers(0, 99, rows)],
        "kind": [LABELS[at] for at in random.integers(0, 3, rows)],
        "price": [f"{value:.2f}" for value in random.uniform(10, 5000, rows)],
        "tax": [f"{value:.4f}" for value in random.uniform(0, 1, rows)],
        "site": [f"s{at % 7}" for at in range(rows)],
    }


def lines(columns, delimiter=","):
    rows = [list(columns), *zip(*columns.values(), strict=True)]
    return "".join(delimiter.join(row) + "\n" for row in rows)


def some(*names, **changed):
    return {name: changed.get(name, values) for name, values in table().items() if name in names}


def commas(columns):
    return {
        name: [value.replace(".", ",") for value in values] if name in ("size", "mass", "price") else values
        for name, values in columns.items()
    }


CLASSES = some("size", "mass", "color", "new", "kind")
HOLES = {"size": ["k.A.", *table()["size"][1:]], "kind": [*table()["kind"][:40], "", "NA", *table()["kind"][42:]]}


def case(name, content, options, known=None):
    return pytest.param(name, content, options, known or {}, id=name)


@pytest.mark.parametrize(
    ("name", "content", "options", "known"),
    [
        case("plain.csv", lines(CLASSES), ImportOptions("kind")),
        case("deutsch.csv", lines(commas(CLASSES), ";").encode("cp1252"), ImportOptions("kind")),
        case(
            "holes.csv",
            "# by hand\n" + lines(some("size", "mass", "kind", **HOLES)),
            ImportOptions("kind", missing=("k.A.",)),
        ),
        case("dates.csv", lines(some("when", "size", "kind")), ImportOptions("kind", date_features=("when",))),
        case("groups.csv", lines(some("size", "color", "site", "kind")), ImportOptions("kind", group="site")),
        case("amounts.csv", lines(some("size", "color", "mass", "price")), ImportOptions("price")),
        case(
            "betraege.csv",
            lines(commas(some("size", "color", "mass", "price")), ";"),
            ImportOptions("price", group="color", not_missing=("n/a",)),
        ),
        case(
            "several.csv",
            lines(some("size", "new", "price", "tax")),
            ImportOptions("price", more_labels=("tax",), date_features=()),
        ),
        case(
            "thousands.csv",
            lines(some("size", "mass", "kind", size=[f'"{1 + at % 7},{at:03}.5"' for at in range(100, 190)])),
            ImportOptions("kind", dialect=DialectOptions(thousands=",")),
            {"dialect": DialectOptions(thousands=",")},
        ),
        case("units.xlsx", CLASSES, ImportOptions("kind")),
        case("frame.parquet", CLASSES, ImportOptions("kind")),
        case("records.jsonl", CLASSES, ImportOptions("kind")),
    ],
)
def test_a_table_is_labelled_as_it_is_evaluated(name, content, options, known, folder):
    path = folder / "own" / name
    path.parent.mkdir()
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif isinstance(content, str):
        path.write_text(content)
    else:
        write_frame(path, content)
    evaluated = evaluate_random_model(add(path, options))
    found, said = predict(path, "model", **known)
    assert len(found) == 90, "rows without a label are labelled, too"
    compare(evaluated, found, rows_that_were_taken())
    assert "unknown" not in said


def write_frame(path, columns):
    frame = pl.DataFrame(
        {name: [None if value == "n/a" else value for value in values] for name, values in columns.items()}
    )
    frame = frame.with_columns(pl.col("size", "mass").cast(pl.Float64), pl.col("new") == "true")
    if path.suffix == ".xlsx":
        head = [frame.columns, ["mm", "g", "", "", ""]]
        write_workbook(
            path,
            Data=[
                *head,
                *([str(cell or "") if not isinstance(cell, float) else cell for cell in row] for row in frame.rows()),
            ],
        )
    elif path.suffix == ".parquet":
        frame.write_parquet(path)
    else:
        frame.write_ndjson(path)


def compare(evaluated, found, rows):
    """The windows of the test split: the same label and number, to the last digit that is written."""
    by_row = {row: at for at, row in enumerate(found["row"].to_list())}
    at = [by_row[rows[row]] for row in evaluated["row"].to_list()]
    assert len(at) >= 2
    mine = found[at]
    if "confidence" in evaluated.columns:
        assert mine["predicted"].to_list() == list(map(str, evaluated["predicted"].to_list()))
        probabilities = [name for name in mine.columns if name.startswith("p_")]
        highest = mine.select(pl.max_horizontal(probabilities)).to_series().to_numpy()
        assert np.abs(highest - evaluated["confidence"].to_numpy()).max() < 1e-6
    else:
        names = [name for name in mine.columns if name.startswith("predicted")]
        assert names == [name for name in evaluated.columns if name.startswith("predicted")]
        assert (
            mine.select(names).to_numpy().tolist() == evaluated.select(names).to_numpy().astype(np.float32).tolist()
        )


def recording(number, rows=30):
    random = np.random.default_rng(number)
    return [[f"{value:.4f}", f"{other:.2f}"] for value, other in random.normal(size=(rows, 2))]


def test_recordings_are_labelled_as_they_are_evaluated(folder):
    rows = [[f"r{number}", *row, "ud"[number % 2]] for number in range(10) for row in recording(number)]
    path = write(folder / "own.csv", "rec,x,z,y\n" + "".join(",".join(row) + "\n" for row in rows))
    evaluated = evaluate_random_model(add(path, ImportOptions("y", series="rec")))
    found, _ = predict(path, "model")
    compare(evaluated, found, list(range(300)))


@pytest.mark.parametrize("options", [{"sequence": True}, {"sequence": True, "blocks": 3, "gap": 2}])
def test_files_of_recordings_and_their_blocks_are_labelled_as_they_are_evaluated(options, folder):
    """The files of the raw folder, in which recordings and blocks have their names."""
    for number in range(8):
        rows = "".join(";".join([*row, "ud"[number % 2]]) + "\n" for row in recording(number))
        write(folder / f"own/r{number}.csv", "x;z;y\n" + rows.replace(".", ","))
    raw = add(folder / "own", ImportOptions("y", **options))
    evaluated = evaluate_random_model(raw)
    parts, first = [], 0
    for file in sorted(raw.iterdir()):
        found, _ = predict(file, "model")
        parts.append(found.with_columns(pl.col("row") + first))
        first += load_dataset("mine").files[file.name]
    compare(evaluated, pl.concat(parts), list(range(first)))
    if "blocks" not in options:
        original, said = predict(folder / "own/r3.csv", "model")
        assert original.drop("row").rows() == parts[3].drop("recording", "row").rows()
        assert said.endswith("; no column recording: taken for one recording")
