"""The networks to choose from: `train.model: NAME` is the file NAME.py in this folder.

Such a file holds `Params`, the typed section `models.NAME` of `params.yaml`, and `Model`, a module that is
made by `Model(params, shape)` and turns windows float32 [B, L, C] into logits float32 [B, K].
"""

from __future__ import annotations

from typing import Any, NamedTuple

from trackstack.params import Section
from trackstack.registry import Registry

MODELS = Registry(__name__, "train.model")


class Shape(NamedTuple):
    """What the data says about a model's ends."""

    channels: int
    window: int
    classes: int


def build_model(name: str, params: Section, shape: Shape) -> Any:
    """A new `torch.nn.Module` with random weights from torch's global generator."""
    return MODELS.module(name).Model(params, shape)
