"""A small table with amounts to predict, through the stages in this process."""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.evaluate.params import Params as EvaluateParams
from pipeline.evaluate.stage import evaluate
from pipeline.tensor_cache.params import Params as CacheParams
from pipeline.tensor_cache.stage import build
from pipeline.train.config import TrainingConfig
from pipeline.train.stage import train
from support.conversion import convert_folder
from support.projects import reference_params
from trackstack.core.params import Parameters

PRICE, TAX = {"name": "price", "unit": "EUR"}, {"name": "tax"}
AUGMENT = {"jitter": 0.0}


class Houses(NamedTuple):
    """The folders that the stages wrote."""

    raw: Path
    processed: Path
    cache: Path
    model: Path
    live: Path
    evaluation: Path


def write_houses(path: Path, rows: int = 90) -> Path:
    """A table of houses in five towns, whose price and tax follow from their size and age."""
    random = np.random.default_rng(0)
    path.parent.mkdir(parents=True, exist_ok=True)
    size, age = random.uniform(40, 200, rows), random.integers(0, 90, rows)
    price = 3000 * size - 1500 * age + random.normal(0, 5000, rows)
    lines = [
        f"{town},{s:.1f},{a},{p:.2f},{p / 1e6 + a / 1e3:.6f}"
        for town, s, a, p in zip(np.arange(rows) % 5, size, age, price, strict=True)
    ]
    path.write_text("\n".join(["town,size,age,price,tax", *lines]) + "\n")
    return path


def choose(**changes: object) -> TrainingConfig:
    """The reference's parameters for a small table of amounts, with changes to `train`."""
    values = reference_params()
    train_section = values["train"] | {"model": "mlp", "epochs": 30, "batch_size": 16, "lr": 0.01} | changes
    train_section["augment"] = train_section["augment"] | AUGMENT
    values |= {"train": train_section}
    values["models"]["mlp"] = {"hidden": 16, "dropout": 0}
    return TrainingConfig.choose(Parameters(values))


def through_all_stages(folder: Path, targets: tuple[dict, ...] = (PRICE,), **changes: object) -> Houses:
    """The houses converted, trained on and evaluated; towns are groups. The present folder keeps the record."""
    houses = Houses(*(folder / name for name in Houses._fields))
    write_houses(houses.raw / "a.csv")
    features = [{"name": "size"}, {"name": "age"}]
    about = {"group": "town", "series": None, "features": features, "targets": list(targets)}
    extra = [name for name in ("price", "tax") if name not in {target["name"] for target in targets}]
    convert_folder(houses.raw, houses.processed, **about, extra=extra)
    build(houses.processed, houses.cache, CacheParams(window=1, stride=1, folds=5, fold=0, validation=True))
    train(houses.cache, houses.model, houses.live, choose(**changes))
    evaluate(
        *(houses.cache, houses.model, houses.live, houses.processed / "profile.json", houses.evaluation),
        EvaluateParams(calibration_bins=10, baselines=True, threads=1),
    )
    return houses
