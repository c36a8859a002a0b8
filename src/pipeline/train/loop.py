"""The training loop: deterministic, resumable at any step, alone or as one of several processes.

Everything random at a step follows from the seed and the number of that step (see `schedule.py`), so that a position
is two numbers: the steps taken, and the epochs whose figures are known.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.modeling.amounts import amount_figures
from pipeline.modeling.base import LOSSES, METRICS, Shape, build_model, num_outputs, tasks_of
from pipeline.modeling.saved_model import in_own_units, load_start_weights, predict_outputs
from pipeline.train.augment import Augment
from pipeline.train.config import TrainingConfig
from pipeline.train.loader import load, resident
from pipeline.train.schedule import batches, epoch_order, step_seed, warmup_cosine
from pipeline.windows.dataset import TensorCache, WindowDataset
from trackstack import UserError
from trackstack.system.stopping import Interrupted, Stop
from trackstack.training.checkpoint import Checkpoints
from trackstack.training.device import autocast
from trackstack.training.distributed import Ranks, globalize

Figures = dict[str, float]
OnEpoch = Callable[[int, Figures], None]
OnStep = Callable[[int, int], None]


def _ignore(*_: object) -> None:
    """For a caller that wants to know of neither epochs nor steps."""


@dataclass(frozen=True)
class Runtime:
    """Where a training runs: this changes nothing of the result but its last bits."""

    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    ranks: Ranks = field(default_factory=Ranks)
    checkpoints: Checkpoints | None = None
    stop: Stop | None = None
    versions: dict[str, Any] = field(default_factory=dict)
    """Of torch, the device and the number of processes, for checkpoints and the record."""


class Trainer:
    """One training, from its first step or from a checkpoint on."""

    def __init__(self, cache: TensorCache, config: TrainingConfig, runtime: Runtime):
        self.params, self.config, self.runtime = config.train, config, runtime
        device = runtime.device
        on_device = resident(cache, device)
        self.windows = {
            "train": WindowDataset(on_device.with_standard_targets(), "train"),
            "val": WindowDataset(on_device, "val"),
        }
        torch.manual_seed(self.params.seed)
        model = build_model(self.params.model, config.model, shape_of(cache))
        if self.params.init_from:
            start = self.params.init_from
            model.load_state_dict(model.state_dict() | load_start_weights(Path(start.folder), start.digest, model))
        self.model = globalize(model, runtime.ranks).to(device)
        # Not dynamic: what was compiled for a short last batch would serve full ones later, but not after a restart.
        self._forward = torch.compile(self.model, dynamic=False) if self.params.compile else self.model
        counts_K = class_counts(cache) if cache.task == "classification" else None
        self.loss = LOSSES.module(self.params.loss).Loss(config.loss, counts_K).to(device)
        self.augment = Augment(cache, self.params.augment, device)
        self.generator = torch.Generator(device)
        groups = parameter_groups(self.model, self.params.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=self.params.lr, fused=True)
        self.steps_per_epoch = len(batches(torch.arange(len(self.windows["train"])), self.params.batch_size))
        self.factor = warmup_cosine(self.params, self.steps_per_epoch)
        self._on_epoch: OnEpoch = _ignore
        self._on_step: OnStep = _ignore
        self.step = 0
        self.history: list[Figures] = []
        self.best_weights: dict[str, Tensor] = {}
        # On the device: reading them waits for the step to end.
        self.loss_sum = torch.zeros((), device=device)
        self.finite_steps = torch.zeros((), dtype=torch.int64, device=device)

    def fit(self, on_epoch: OnEpoch = _ignore, on_step: OnStep = _ignore) -> tuple[nn.Module, Figures]:
        """Train to the end; return the model of the kept epoch, and that epoch's figures.

        Args:
            on_epoch: called with the figures of each epoch, those before a checkpoint included.
            on_step: called after each step with its number and that of all steps.

        Raises:
            UserError: the loss is not finite.
            Interrupted: a stop was asked for; a checkpoint is written.
        """
        self._on_epoch, self._on_step = on_epoch, on_step
        for epoch, figures in enumerate(self.history):
            on_epoch(epoch, figures)
        while len(self.history) < self.params.epochs and not out_of_patience(self.history, self.params.patience):
            self.train_epoch()
            self.end_epoch()
        epoch = best_epoch(self.history) if self.params.keep == "best" else len(self.history) - 1
        if self.best_weights:
            self.model.load_state_dict(self.best_weights)
        return self.model, {"epoch": epoch, **self.history[epoch]}

    def train_epoch(self) -> None:
        """The steps that this epoch still lacks."""
        epoch, ranks = len(self.history), self.runtime.ranks
        windows = self.windows["train"]
        order_W = epoch_order(len(windows), self.params.seed, epoch).to(windows.starts.device)
        parts = batches(order_W, self.params.batch_size)[self.step - epoch * self.steps_per_epoch :]
        self.model.train()
        shares = [part[ranks.share(len(part))] for part in parts]
        loaded = load(windows, shares, self.runtime.device)
        for part, (windows_BLC, labels_B) in zip(parts, loaded, strict=True):
            self._pause()
            self.train_step(windows_BLC, labels_B, len(part))
            self._on_step(self.step, self.params.epochs * self.steps_per_epoch)
        self._pause()

    def train_step(self, windows_BLC: Tensor, labels_B: Tensor, total: int) -> None:
        """One step on this process's windows float32 [B, L, C] and their labels of a batch of `total`.

        Labels are int64 [B], or amounts float32 [B, K] in standard deviations.
        """
        ranks = self.runtime.ranks
        seed = step_seed(self.params.seed, self.step)
        torch.manual_seed(seed)  # for dropout
        rows = ranks.begin_batch(total)
        windows_BLC = self.augment(windows_BLC, self.generator.manual_seed(seed + 1), rows, total)
        for group in self.optimizer.param_groups:
            group["lr"] = self.params.lr * self.factor(self.step)
        self.optimizer.zero_grad()
        with autocast(self.runtime.device, self.params.precision):
            loss = self.loss(self._forward(windows_BLC).float(), labels_B).sum() / total
        loss.backward()
        mean_loss = ranks.sum_gradients(self.model, loss)
        if self.params.clip_norm > 0:
            nn.utils.clip_grad_norm_(self.model.parameters(), self.params.clip_norm)
        self.optimizer.step()
        self.loss_sum += mean_loss * total
        self.finite_steps += self.loss_sum.isfinite()
        self.step += 1

    def end_epoch(self) -> None:
        """Figures of the epoch, for the record; UserError when training has diverged."""
        epoch = len(self.history)
        self._refuse_infinite_loss()
        figures = {"train_loss": self.loss_sum.item() / len(self.windows["train"])}
        figures |= self.validate() | {"lr": self.params.lr * self.factor(epoch * self.steps_per_epoch)}
        self._on_epoch(epoch, figures)
        for name, value in figures.items():
            if not math.isfinite(value):
                raise diverged(f"the {name} of epoch {epoch} is {value}", figures["lr"])
        self.history.append(figures)
        if self.params.keep == "best" and best_epoch(self.history) == epoch:
            self.best_weights = copy.deepcopy(self.model.state_dict())
        self.loss_sum.zero_()

    def validate(self) -> Figures:
        """Loss, usual figures and the chosen metric of the validation split, if any; alike in all processes."""
        windows = self.windows["val"]
        if not len(windows):
            return {}
        outputs_WK, labels = predict_outputs(
            self.model, windows, self.runtime.device, self.params.precision, self.runtime.ranks, self._pause
        )
        cache = windows.cache
        if cache.task == "classification":
            figures = split_metrics(outputs_WK, labels, "val")
        else:
            std_K = cache.target_std.cpu().numpy()
            predicted_WK = in_own_units(outputs_WK, cache.target_mean.tolist(), std_K.tolist())
            outputs_WK = torch.from_numpy(predicted_WK).float()
            found = amount_figures(predicted_WK, labels.numpy(), std_K)
            figures = {f"val_{name}": value for name, value in found.items()}
        if cache.task not in tasks_of(METRICS, self.params.metric):
            return figures
        metric = METRICS.module(self.params.metric).metric
        return figures | {f"val_{self.params.metric}": metric(self.config.metric, outputs_WK, labels)}

    def _pause(self) -> None:
        """Between two steps: write a checkpoint when it is time, end when it is asked for."""
        runtime = self.runtime
        reason = runtime.stop.reason() if runtime.stop else None
        stopping = runtime.ranks.any(reason is not None)
        checkpoints = runtime.checkpoints if runtime.ranks.rank == 0 else None
        if checkpoints and (stopping or checkpoints.due()):
            self._refuse_infinite_loss()
            checkpoints.save(self.step, self.state())
        if stopping:
            raise Interrupted(reason or "another process was asked to stop")

    def state(self) -> dict[str, Any]:
        """What a checkpoint holds."""
        return {
            "model": self.model.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "loss_sum": self.loss_sum,
            "history": self.history,
            "best_weights": self.best_weights,
            "versions": self.runtime.versions,
        }

    def restore(self, step: int, state: dict[str, Any]) -> None:
        """Go on from a checkpoint."""
        self.model.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.loss_sum.copy_(state["loss_sum"])
        self.finite_steps.fill_(step)
        self.step, self.history, self.best_weights = step, state["history"], state["best_weights"]

    def _refuse_infinite_loss(self) -> None:
        finite = int(self.finite_steps)
        if finite < self.step:
            raise diverged(f"the loss of step {finite} is not finite", self.params.lr * self.factor(finite))


def diverged(what: str, lr: float) -> UserError:
    """The error of a training whose numbers have become infinite."""
    return UserError(
        f"params.yaml: {what}, at a learning rate of {lr:.3g}; lower train.lr, set train.clip_norm, or look at "
        "train.weight_decay and train.augment"
    )


def shape_of(cache: TensorCache) -> Shape:
    """The ends of a model for this data."""
    return Shape(cache.signal.shape[1], cache.metadata["window"], num_outputs(cache.metadata))


def class_counts(cache: TensorCache) -> Tensor:
    """Training windows per class, int64 [K]."""
    windows = WindowDataset(cache, "train")
    return torch.bincount(windows.labels(), minlength=len(cache.metadata["classes"]))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels, none for biases and norms, which it would only hold back."""
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def split_metrics(logits_WK: Tensor, labels_W: Tensor, split: str) -> Figures:
    """Cross-entropy and accuracy over a split, named `val_loss`, `val_accuracy`, ..."""
    loss = nn.functional.cross_entropy(logits_WK, labels_W).item()
    accuracy = (logits_WK.argmax(1) == labels_W).double().mean().item()
    return {f"{split}_loss": loss, f"{split}_accuracy": accuracy}


def best_epoch(history: list[Figures]) -> int:
    """The epoch with the lowest validation loss; the first of equal ones."""
    return min(range(len(history)), key=lambda epoch: history[epoch]["val_loss"])


def out_of_patience(history: list[Figures], patience: int) -> bool:
    """Whether the validation loss has not become lower for so many epochs; never with 0."""
    return 0 < patience <= len(history) - 1 - best_epoch(history) if history else False
