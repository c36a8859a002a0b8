"""The models, losses and metrics there are to choose from, and what a model is built from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from trackstack.core.params import Section
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
    classes: int


def build_model(name: str, params: Section, shape: Shape) -> nn.Module:
    """A new model with random weights from torch's global generator."""
    return MODELS.module(name).Model(params, shape)
