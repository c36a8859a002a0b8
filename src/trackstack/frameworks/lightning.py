"""Lightning: a logger and a callback for a run; fit stops in time, and goes on from its checkpoint.

with start_run("my-model", params) as run:
    trainer = Trainer(logger=RunLogger(run), callbacks=[RunCallback(run)])
    trainer.fit(model, data, ckpt_path=last_checkpoint(run))

For one process; Lightning's own checkpoints lie in the run's folder, too.
"""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.loggers.logger import Logger

from trackstack import UserError
from trackstack.frameworks.interruption import Interruption, checkpoint_folder
from trackstack.system.stopping import Interrupted
from trackstack.tracking.journal import warn
from trackstack.tracking.params import flatten
from trackstack.tracking.run import Run, start_run
from trackstack.tracking.script.values import plain_params
from trackstack.training.checkpoint import random_states, set_random_states

__all__ = ["RunCallback", "RunLogger", "last_checkpoint", "start_run"]

CHECKPOINT = "fit.ckpt"


class RunLogger(Logger):
    """Brings what modules log to a run, by the global step."""

    def __init__(self, run: Run):
        super().__init__()
        self.run = run

    @property
    def name(self) -> str:
        """None of its own: the run's folder has one."""
        return ""

    @property
    def version(self) -> str:
        """None of its own: the run's folder has one."""
        return ""

    @property
    def save_dir(self) -> str:
        """Where Lightning puts its own checkpoints."""
        return str(self.run.folder / "lightning")

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Record metrics; the epoch, which Lightning adds to each of them, is none."""
        values = {name: value for name, value in metrics.items() if name != "epoch"}
        if values and not self.run.status:
            self.run.log(values, step or 0)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *_: Any, **__: Any) -> None:
        """Warn of hyperparameters that the run was not started with: they would not be in its id."""
        given = vars(params) if isinstance(params, Namespace) else dict(params)
        started = flatten(self.run.params)
        other = [name for name, value in flatten(given).items() if started.get(name) != _plain(value)]
        if other:
            warn(
                f"run {self.run.id}: not in start_run's params, so that runs that differ in it count as the same: "
                f"{', '.join(other)}; type: start_run(name, {{**params, **model.hparams}})"
            )

    def finalize(self, status: str) -> None:
        """All of it to disk."""
        if not self.run.status:
            self.run.flush()


class RunCallback(Callback):
    """Writes a checkpoint from time to time, and ends fit with one when a stop is asked for."""

    def __init__(self, run: Run):
        self._run, self._interruption = run, Interruption(run)
        self._reason: str | None = None
        self._is_saving = False

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Listen to signals: behind Lightning, which puts back what it found."""
        self._interruption.begin()

    def on_train_batch_end(self, trainer: Trainer, *_: Any) -> None:
        """Look between two batches: here Lightning can save in the midst of an epoch."""
        if not trainer.is_last_batch:
            self._look(trainer)

    def on_train_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Look between two epochs."""
        if trainer.max_epochs in (None, -1) or trainer.current_epoch + 1 < trainer.max_epochs:
            self._look(trainer)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Stop where it was asked for: now all that was logged is out."""
        if self._reason:
            raise Interrupted(self._reason)

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """The same."""
        if self._reason:
            raise Interrupted(self._reason)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back."""
        self._interruption.end()

    def on_exception(self, trainer: Trainer, pl_module: LightningModule, exception: BaseException) -> None:
        """Give the signals back before Lightning does."""
        self._interruption.end()

    def state_dict(self) -> dict[str, Any]:
        """The random generators, which Lightning does not keep."""
        return {"random": random_states()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Put them back."""
        set_random_states(state_dict["random"])

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leave hyperparameters out of checkpoints of its own: with a class in one, torch would not load it."""
        if self._is_saving:
            for key in ("hyper_parameters", "datamodule_hyper_parameters"):
                checkpoint.pop(key, None)

    def _look(self, trainer: Trainer) -> None:
        if trainer.max_steps == -1 or trainer.global_step < trainer.max_steps:
            self._reason = self._interruption.reason()
            if self._reason or self._interruption.is_checkpoint_due():
                self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        folder = self._interruption.folder
        folder.mkdir(exist_ok=True)
        self._run.flush()
        partial = folder / f"{CHECKPOINT}.partial"
        self._is_saving = True
        try:
            trainer.save_checkpoint(partial)
        finally:
            self._is_saving = False
        partial.replace(folder / CHECKPOINT)
        self._interruption.has_saved()


def _plain(value: Any) -> Any:
    """A hyperparameter as `start_run` records it; itself where it would not take it."""
    try:
        return plain_params({"value": value})["value"]
    except UserError:
        return value


def last_checkpoint(run: Run) -> Path | None:
    """The checkpoint that fit goes on from; None where it begins."""
    path = checkpoint_folder(run) / CHECKPOINT
    return path if path.exists() else None
