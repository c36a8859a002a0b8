"""Models with random weights, for tests of `predict` that are about tables."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from pipeline.modeling.base import MODELS, Shape, build_model
from pipeline.modeling.saved_model import save_model
from pipeline.windows.encoding import channel_names
from trackstack.core.params import Parameters


def save_random_model(folder: Path, features: list[dict[str, Any]], **about: Any) -> Path:
    """A model folder of two classes, of rows unless `about` says otherwise; returns the folder."""
    channels = len(channel_names(features))
    description = {"model": "mlp", "model_params": {"hidden": 4, "dropout": 0}, "features": features}
    description |= {"classes": ["1", "2"], "window": 1, "stride": 1, "group": None, "series": None, "run": "r1"}
    description |= {"mean": [0.0] * channels, "std": [1.0] * channels}
    description |= {"train": {"precision": "float32", "threads": 1}} | about
    torch.manual_seed(0)
    params = MODELS.params("mlp", Parameters({"models": {"mlp": description["model_params"]}}))
    model = build_model("mlp", params, Shape(channels, description["window"], 2))
    save_model(folder, model, description)
    return folder
