"""The settings of a dataset's entry: folds, windows, batches and epochs that fit what was seen of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from pipeline.contract.settings import USUAL_SETTINGS
from pipeline.import_data.columns import ImportOptions
from pipeline.import_data.survey import ColumnSurvey

STEPS, STEPS_OF_ROWS = 1000, 400
"""That many steps train on few windows; rows of a table need fewer, and more make the network learn their noise. What
is larger takes more in its fewest epochs."""
MOST_EPOCHS = 200
SMALLEST_BATCH = 16
BATCHES_PER_EPOCH = 32
"""A small table has smaller batches, so that an epoch has about as many."""
NOTABLE = 1.5
"""A setting that differs by less from what would fit needs no word."""


def fitting_settings(
    options: ImportOptions, columns: Mapping[str, ColumnSurvey], rows: int, rejected: int
) -> dict[str, dict[str, int]]:
    """What the entry says under `settings`.

    Args:
        columns: with the values of group and series.
        rows: that can be trained on.
        rejected: rows that will be set aside.
    """
    usual = USUAL_SETTINGS["tensor_cache"]
    part = options.group or options.series
    folds = min(usual["folds"], len(columns[part].values) if part else rows)
    window, stride, windows = 1, 1, rows
    if options.series:
        lengths = np.sort(list(columns[options.series].values.values()))
        # A tenth of the recordings may be shorter than a window, and is lost.
        window, stride = usual["window"], usual["stride"]
        if (shortest := int(lengths[len(lengths) // 10])) < window:
            window, stride = shortest, max(1, shortest // 4)
        windows = int(np.maximum((lengths - window) // stride + 1, 0).sum())
    return {
        "parquet": {"max_rejected": rejected},
        "tensor_cache": {"folds": folds, "window": window, "stride": stride},
        "train": _batches(windows * (folds - 2) // folds, STEPS if options.series else STEPS_OF_ROWS),
    }


def describe(settings: Mapping[str, Mapping[str, int]]) -> str:
    """The settings in one line."""
    cache, train, rejected = settings["tensor_cache"], settings["train"], settings["parquet"]["max_rejected"]
    windows = f"windows of {cache['window']:,} rows, a stride of {cache['stride']:,}; " if cache["window"] > 1 else ""
    return (
        f"{cache['folds']} folds; {windows}{train['epochs']} epochs in batches of {train['batch_size']}; "
        f"{rejected:,} row{'s' * (rejected != 1)} may be set aside"
    )


def kept_notes(kept: Mapping[str, Any], fitting: Mapping[str, Any]) -> list[str]:
    """What an entry keeps, where its new files would get something else."""
    differing = [
        f"{stage}.{name} {kept[stage][name]} ({value} would fit)"
        for stage in ("tensor_cache", "train")
        for name, value in fitting[stage].items()
        if not 1 / NOTABLE <= value / kept[stage][name] <= NOTABLE
    ]
    return [f"settings that stay: {', '.join(differing)}; they are in data/catalog.yaml"] if differing else []


def _batches(windows: int, steps: int) -> dict[str, int]:
    """Batch size and epochs for so many training windows."""
    usual = USUAL_SETTINGS["train"]
    batch = SMALLEST_BATCH
    while batch < usual["batch_size"] and windows > batch * BATCHES_PER_EPOCH:
        batch *= 2
    epochs = round(steps / max(1, windows / batch))
    return {"batch_size": batch, "epochs": min(MOST_EPOCHS, max(usual["epochs"], epochs))}
