"""Refuse choices that do not exist: the first thing that `dvc repro` runs."""

from __future__ import annotations

from pipeline.contract.catalog import chosen_dataset, load_dataset
from pipeline.modeling.base import LOSSES, METRICS, MODELS, refuse_loss_of_other_task
from trackstack.core.params import Parameters


def check_choices(params: Parameters) -> None:
    """UserError for a dataset, model, loss or metric that does not exist, or a loss for another task than the data's.

    DVC has a path of its own to name where one is missing; the stage `check` says first what was meant.
    """
    name = chosen_dataset(params)
    dataset = load_dataset(name)
    for registry in (MODELS, LOSSES, METRICS):
        registry.refuse_unknown(params.get(registry.choice))
    refuse_loss_of_other_task(params.get(LOSSES.choice), dataset.task, name)
