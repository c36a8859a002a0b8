"""The model folder: `model.safetensors` and `model.json`, enough to predict without the pipeline."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load, save
from torch import Tensor, nn

from pipeline.modeling.base import MODELS, Shape, build_model, num_outputs
from pipeline.windows.dataset import WindowDataset
from pipeline.windows.encoding import channel_names
from trackstack import UserError
from trackstack.core.digest import digest_arrays
from trackstack.core.files import new_folder, read_json, sealed, write_json
from trackstack.core.params import validate
from trackstack.training.device import autocast
from trackstack.training.distributed import Ranks

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"
INFERENCE_BATCH = 512


def save_model(folder: Path, model: nn.Module, description: dict[str, Any]) -> None:
    """Write weights and description, with digests of both; the folder appears whole or not at all.

    Args:
        description: must hold `model`, `model_params`, `features`, `classes` or `targets`, and `window`.
    """
    weights = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    with new_folder(folder) as partial:
        (partial / WEIGHTS_FILE).write_bytes(save(weights))
        write_json(partial / DESCRIPTION_FILE, sealed(description | {"digest": digest_weights(weights)}))


def load_model(folder: Path) -> tuple[nn.Module, dict[str, Any]]:
    """Read a model folder; the model is ready for inference. Nothing is unpickled.

    Raises:
        UserError: the folder is not there or not whole, or its weights are not those of its description.
    """
    todo = f"type: trackstack repair {folder} && dvc repro"
    try:
        description = read_json(folder / DESCRIPTION_FILE, todo)
        weights = _read_weights(folder / WEIGHTS_FILE, todo)
        if (actual := digest_weights(weights)) != description["digest"]:
            raise UserError(
                f"{folder / WEIGHTS_FILE}: damaged or replaced: the digest of its weights is {actual}, but "
                f"{DESCRIPTION_FILE} says {description['digest']}; {todo}"
            )
        name = description["model"]
        model_params = validate(MODELS.module(name).Params, description["model_params"], folder / DESCRIPTION_FILE)
        shape = Shape(len(channel_names(description["features"])), description["window"], num_outputs(description))
        model = build_model(name, model_params, shape)
        model.load_state_dict(weights)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; {todo}") from None
    except (ArithmeticError, AttributeError, KeyError, RuntimeError, TypeError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{folder}: not a whole model ({reason}); {todo} --force train") from None
    return model.eval(), description


def load_start_weights(folder: Path, digest: str, model: nn.Module) -> dict[str, Tensor]:
    """The weights of a model folder that fit a model by name and shape.

    Raises:
        UserError: no such folder, other weights than the digest says, or none that fits.
    """
    path = folder / WEIGHTS_FILE
    try:
        weights = _read_weights(path, "params.yaml: train.init_from.folder names it")
    except FileNotFoundError:
        raise UserError(f"params.yaml: train.init_from.folder: {path}: no such file") from None
    if (actual := digest_weights(weights)) != digest:
        raise UserError(f"params.yaml: train.init_from.digest is {digest!r}, but {path} has {actual!r}")
    own = model.state_dict()
    fitting = {name: w for name, w in weights.items() if name in own and own[name].shape == w.shape}
    if not fitting:
        raise UserError(f"params.yaml: train.init_from: {path} has no weight of the shape that the model needs")
    return fitting


def _read_weights(path: Path, todo: str) -> dict[str, Tensor]:
    try:
        return load(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {todo}") from None
    except Exception as error:  # safetensors' own class derives from Exception, and torch refuses what it let through
        raise UserError(f"{path}: damaged ({str(error).partition(chr(10))[0]}); {todo}") from None


def digest_weights(weights: dict[str, Tensor]) -> str:
    """The first 12 digits of the digest of names, shapes and values: `digest` in `model.json`."""
    return digest_arrays({name: tensor.numpy() for name, tensor in weights.items()})[:12]


def load_with_example(folder: Path) -> tuple[nn.Module, np.ndarray]:
    """The model of a folder, and an input that it takes: float32 [1, L, C]."""
    model, description = load_model(folder)
    return model, np.zeros((1, description["window"], len(channel_names(description["features"]))), np.float32)


def predict_outputs(
    model: nn.Module,
    windows: WindowDataset,
    device: torch.device,
    precision: str,
    ranks: Ranks | None = None,
    pause: Callable[[], None] = lambda: None,
) -> tuple[Tensor, Tensor]:
    """The model's outputs float32 [W, K] and the labels of all windows in order, on the CPU; alike in all processes.

    Outputs are logits, or amounts in standard deviations; labels are int64 [W], or amounts in their own units [W, K].

    Args:
        precision: float32 or bf16, as the model was trained.
        ranks: the processes that share the work.
        pause: called before each batch.
    """
    ranks = ranks or Ranks()
    was_training = model.training
    model.eval()
    outputs_WK = torch.zeros(len(windows), num_outputs(windows.cache.metadata))
    indices = torch.arange(len(windows)).split(INFERENCE_BATCH)
    with torch.inference_mode(), autocast(device, precision):
        for first in range(0, len(indices), ranks.world):
            pause()
            for index_B in indices[first : first + ranks.world][ranks.rank : ranks.rank + 1]:
                windows_BLC, _ = windows.batch(index_B.to(windows.starts.device))
                outputs_WK[index_B] = model(windows_BLC.to(device)).float().cpu()
        ranks.sum_(outputs_WK)
    model.train(was_training)
    return outputs_WK, windows.labels().cpu()


def predict_windows(
    model: nn.Module, description: dict[str, Any], windows: WindowDataset, device: torch.device
) -> np.ndarray:
    """Probabilities of the classes, or amounts in their own units, float64 [W, K], of all windows in order.

    For `evaluate`, `trackstack predict` and MLflow alike.

    Args:
        description: of the model, as `load_model` gives it.
    """
    outputs_WK, _ = predict_outputs(model.to(device), windows, device, description["train"]["precision"])
    if "targets" not in description:
        return outputs_WK.double().softmax(1).numpy()
    return in_own_units(outputs_WK, description["target_mean"], description["target_std"])


def in_own_units(outputs_WK: Tensor, mean_K: Sequence[float], std_K: Sequence[float]) -> np.ndarray:
    """Amounts float64 [W, K] in their own units, of outputs in standard deviations from the training rows' mean."""
    return outputs_WK.double().numpy() * np.array(std_K, np.float64) + np.array(mean_K, np.float64)
