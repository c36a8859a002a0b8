"""Refuse choices that do not exist: the first thing that `dvc repro` runs."""

from __future__ import annotations

from pipeline.contract.catalog import chosen_dataset, load_dataset
from pipeline.modeling.base import LOSSES, METRICS, MODELS
from trackstack.core.params import Parameters


def check_choices(params: Parameters) -> None:
    """UserError for a dataset, model, loss or metric that does not exist.

    DVC has a path of its own to name where one is missing; the stage `check` says first what was meant.
    """
    load_dataset(chosen_dataset(params))
    for registry in (MODELS, LOSSES, METRICS):
        registry.refuse_unknown(params.get(registry.choice))
