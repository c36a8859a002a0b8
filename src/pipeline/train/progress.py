"""How a training shows where it is."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn


class TrainingProgress:
    """A bar of steps with the remaining time on a terminal; one line per epoch everywhere."""

    def __init__(self) -> None:
        columns = (BarColumn(), MofNCompleteColumn(), TextColumn("steps"), TimeRemainingColumn())
        quiet = not sys.stdout.isatty()
        self._bar = Progress(*columns, console=Console(highlight=False), transient=True, disable=quiet)
        self._task = self._bar.add_task("training", total=None)
        self._began_at: int | None = None

    def __enter__(self) -> TrainingProgress:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.stop()

    def step(self, step: int, total: int) -> None:
        """A step was taken; those before the first call are not counted in the speed."""
        if self._began_at is None:
            self._began_at = step - 1
        self._bar.update(self._task, completed=step - self._began_at, total=total - self._began_at)

    def epoch(self, epoch: int, figures: dict[str, float]) -> None:
        """An epoch has ended, with these figures."""
        text = "  ".join(f"{name} {value:.4f}" for name, value in figures.items() if name != "lr")
        if self._bar.disable:
            print(f"epoch {epoch:3d}  {text}", flush=True)
        else:
            self._bar.console.print(f"epoch {epoch:3d}  {text}")
