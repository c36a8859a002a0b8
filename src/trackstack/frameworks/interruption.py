"""When a loop has to write a checkpoint, when it has to stop, and where its checkpoints lie."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from trackstack.system.stopping import Stop
from trackstack.tracking.run import Run

if TYPE_CHECKING:
    from trackstack.training.checkpoint import Checkpoints


class Interruption:
    """Asks for a loop whether to stop, from its begin to its end; SIGTERM and Ctrl-C are requests meanwhile."""

    def __init__(self, run: Run):
        self.run, self.folder = run, run.folder / "checkpoints"
        self._stop, self._is_listening = Stop(), False
        self._clock: Checkpoints | None = None

    def begin(self) -> None:
        """Listen to signals, at most until the run ends."""
        self._stop.__enter__()
        self._is_listening = True
        self.run.at_end.callback(self.end)

    def end(self) -> None:
        """Give the signals back."""
        if self._is_listening:
            self._stop.__exit__()
        self._is_listening = False

    def reason(self) -> str | None:
        """Why to stop, or None."""
        return self._stop.reason()

    def is_checkpoint_due(self) -> bool:
        """Whether the last checkpoint was written long enough ago, by TRACKSTACK_CHECKPOINT_SECONDS."""
        if self._clock is None:
            self.has_saved()
        return self._clock is not None and self._clock.due()

    def has_saved(self) -> None:
        """A checkpoint was written, or the loop begins."""
        from trackstack.training.checkpoint import Checkpoints  # with torch, which not every loop has

        self._clock = Checkpoints(self.folder, self.run.id)


def checkpoint_folder(run: Run) -> Path:
    """Where the checkpoints of a run lie; without those of an earlier execution, which is over."""
    folder = run.folder / "checkpoints"
    if run.series == run.attempt:
        shutil.rmtree(folder, ignore_errors=True)
    return folder
