"""The model folder: `model.safetensors` and `model.json`, enough to predict without the pipeline."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from trackstack import UserError
from trackstack.models import Shape, build_model, model_params
from trackstack.outputs import DESCRIPTION_FILE, WEIGHTS_FILE, new_folder, write_json
from trackstack.windows import WindowDataset

INFERENCE_BATCH = 512


def save_model(folder: Path, model: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and description; the folder appears whole or not at all.

    Args:
        description: must hold `model`, `model_params`, `features`, `classes` and `window`.
    """
    with new_folder(folder) as partial:
        (partial / WEIGHTS_FILE).write_bytes(save(model.state_dict()))
        write_json(partial / DESCRIPTION_FILE, description)


def load_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model folder; the model is ready for inference. Nothing is unpickled.

    Raises:
        UserError: the folder is not there or not whole.
    """
    try:
        description = json.loads((folder / DESCRIPTION_FILE).read_text(encoding="utf-8"))
        name = description["model"]
        params = model_params(name, {name: description["model_params"]})
        shape = Shape(len(description["features"]), description["window"], len(description["classes"]))
        model = build_model(name, params, shape)
        model.load_state_dict(load((folder / WEIGHTS_FILE).read_bytes()))
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; type: dvc repro train") from None
    except (ValueError, KeyError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"{folder}: not a whole model ({reason}); type: dvc repro --force train") from None
    return model.eval(), description


def load_with_example(folder: Path) -> tuple[nn.Module, np.ndarray]:
    """The model of a folder, and an input that it takes: float32 [1, L, C]."""
    model, description = load_model(folder)
    return model, np.zeros((1, description["window"], len(description["features"])), np.float32)


def predict_logits(model: nn.Module, windows: WindowDataset) -> tuple[Tensor, Tensor]:
    """Logits float32 [W, K] and labels int64 [W] of all windows, in order."""
    was_training = model.training
    model.eval()
    with torch.inference_mode():
        batches = [windows.batch(index) for index in torch.arange(len(windows)).split(INFERENCE_BATCH)]
        logits = torch.cat([model(windows_BLC) for windows_BLC, _ in batches])
    model.train(was_training)
    return logits, torch.cat([labels_B for _, labels_B in batches])
