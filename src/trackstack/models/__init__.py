"""The networks to choose from: `train.model: NAME` is the file NAME.py in this folder.

Such a file holds `Params`, the typed section `models.NAME` of `params.yaml`, and `Model`, a module that is
made by `Model(params, shape)` and turns windows float32 [B, L, C] into logits float32 [B, K]. There is no
list to extend, so that a new model makes nothing stale that does not use it.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.params import PARAMS_FILE, Section, validate


class Shape(NamedTuple):
    """What the data says about a model's ends."""

    channels: int
    window: int
    classes: int


def model_names() -> list[str]:
    """The models that exist."""
    return sorted(file.stem for file in Path(__file__).parent.glob("[!_]*.py"))


def model_params(name: str, sections: dict[str, dict[str, Any]]) -> Section:
    """The validated parameters of a model out of the section `models`; UserError names what is wrong."""
    module = _module(name)
    if name not in sections:
        raise UserError(f"{PARAMS_FILE}: models.{name} is missing, the parameters of train.model")
    return validate(module.Params, sections[name], PARAMS_FILE, prefix=f"models.{name}")


def build_model(name: str, params: Section, shape: Shape) -> Any:
    """A new `torch.nn.Module` with random weights from torch's global generator."""
    return _module(name).Model(params, shape)


def _module(name: str) -> ModuleType:
    if name not in model_names():
        raise UserError(
            f"{PARAMS_FILE}: train.model is {name!r}; expected one of {', '.join(model_names())} "
            "(a model is a file in src/trackstack/models)"
        )
    return importlib.import_module(f"{__name__}.{name}")
