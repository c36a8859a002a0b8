"""What depends on a dataset's size: the values of parameters that are null in `params.yaml`."""

from __future__ import annotations

from trackstack.core.params import Count, Index, Section

USUAL_SETTINGS = {
    "parquet": {"max_rejected": 0},
    "tensor_cache": {"folds": 5, "window": 200, "stride": 50},
    "train": {"batch_size": 64, "epochs": 20},
}
"""Of a dataset whose size asks for nothing else."""


class ParquetSettings(Section):
    """Of the stage `parquet`."""

    max_rejected: Index


class CacheSettings(Section):
    """Of the stage `tensor_cache`."""

    folds: Count
    window: Count
    stride: Count


class TrainSettings(Section):
    """Of the stage `train`."""

    batch_size: Count
    epochs: Count


class Settings(Section):
    """What depends on a dataset's size: the value of a parameter that is null in `params.yaml`."""

    parquet: ParquetSettings
    tensor_cache: CacheSettings
    train: TrainSettings
