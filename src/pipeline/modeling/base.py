"""The models, losses and metrics there are to choose from, what they are for, and what a model is built from."""

from __future__ import annotations

import ast
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from trackstack import UserError
from trackstack.core.params import PARAMS_FILE, Section
from trackstack.core.registry import Registry

if TYPE_CHECKING:
    from torch import nn

MODELS = Registry("pipeline.models", "train.model")
LOSSES = Registry("pipeline.losses", "train.loss")
METRICS = Registry("pipeline.metrics", "train.metric")


class Shape(NamedTuple):
    """What the data says about a model's ends."""

    channels: int
    window: int
    outputs: int
    """Classes, or amounts."""


def num_outputs(about: Mapping[str, Any]) -> int:
    """How many numbers a model gives for a window.

    Args:
        about: the metadata of a tensor cache, or the description of a model.
    """
    return len(about["targets"] if "targets" in about else about["classes"])


def tasks_of(registry: Registry, name: str) -> tuple[str, ...]:
    """The tasks that a loss or metric is for: its `TASKS`, or classification.

    Its file is read and not imported: that would import torch, which checking a parameter need not wait for.
    """
    for node in ast.parse(registry.file(name).read_text(encoding="utf-8")).body:
        if isinstance(node, ast.Assign) and [ast.unparse(target) for target in node.targets] == ["TASKS"]:
            return tuple(ast.literal_eval(node.value))
    return ("classification",)


def refuse_loss_of_other_task(name: str, task: str, dataset: str) -> None:
    """UserError for a loss that cannot be minimised on this dataset."""
    if task in tasks_of(LOSSES, name):
        return
    fitting = [other for other in LOSSES.names() if task in tasks_of(LOSSES, other)]
    usual = max(fitting, key=lambda other: len(tasks_of(LOSSES, other)))  # the next dataset may be of the other task
    raise UserError(
        f"{PARAMS_FILE}: train.loss is {name!r}, which is for {' and '.join(tasks_of(LOSSES, name))}; the task of "
        f"{dataset} is {task}: expected {' or '.join(fitting)}; type: dvc exp run -S train.loss={usual}"
    )


def build_model(name: str, params: Section, shape: Shape) -> nn.Module:
    """A new model with random weights from torch's global generator."""
    return MODELS.module(name).Model(params, shape)
