"""Transformers: a callback for a run; train stops in time, and goes on from its checkpoint.

with start_run("my-model", params) as run:
    trainer = Trainer(model, arguments, train_dataset=data, callbacks=[RunCallback(run)])
    trainer.train(resume_from_checkpoint=last_checkpoint(run))

For one process. What `save_strategy` asks for goes to `output_dir`, as always.
"""

from __future__ import annotations

import shutil
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from transformers.trainer_utils import get_last_checkpoint

from trackstack.frameworks.interruption import Interruption, checkpoint_folder
from trackstack.system.stopping import Interrupted
from trackstack.tracking.run import Run, start_run

__all__ = ["RunCallback", "last_checkpoint", "start_run"]

OF_THE_CLOCK = ("_runtime", "_per_second")
"""Ends of names of figures that no two executions have in common."""


class RunCallback(TrainerCallback):
    """Brings what the Trainer logs to a run, and ends it with a checkpoint when a stop is asked for."""

    def __init__(self, run: Run):
        self._run, self._interruption = run, Interruption(run)
        self._output_dir: str | None = None
        self._reason: str | None = None

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Listen to signals."""
        self._interruption.begin()

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Record figures by the global step; the summary at the end is about this process alone, and is none."""
        if logs and "train_runtime" not in logs:
            kept = {
                name: value for name, value in logs.items() if name != "epoch" and not name.endswith(OF_THE_CLOCK)
            }
            if kept:
                self._run.log(kept, state.global_step)

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Ask for a checkpoint, and for the end, between two steps."""
        if state.global_step >= state.max_steps:
            return
        self._reason = self._interruption.reason()
        if self._reason or (self._interruption.is_checkpoint_due() and not control.should_save):
            control.should_save = True
            self._output_dir, args.output_dir = args.output_dir, str(self._interruption.folder)
        if self._reason:
            control.should_training_stop = True

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Keep the checkpoint that was asked for above, and the ones before it no longer."""
        if self._output_dir is None:
            return
        args.output_dir, self._output_dir = self._output_dir, None
        for folder in self._interruption.folder.glob("checkpoint-*"):
            if folder.name != f"checkpoint-{state.global_step}":
                shutil.rmtree(folder, ignore_errors=True)
        self._run.flush()
        self._interruption.has_saved()

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Give the signals back; Interrupted where a stop was asked for, or what follows would take it for whole."""
        self._interruption.end()
        if self._reason:
            raise Interrupted(self._reason)


def last_checkpoint(run: Run) -> str | None:
    """The checkpoint that train goes on from; None where it begins."""
    folder = checkpoint_folder(run)
    return get_last_checkpoint(str(folder)) if folder.is_dir() else None
