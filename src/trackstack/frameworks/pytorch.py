"""Plain PyTorch: a loop of steps that can be stopped and killed anywhere, and goes on where it was.

with start_run("my-model", params) as run:
    for step in resumable(range(10000), run, model=model, optimizer=optimizer):
        loss = train_step(model, optimizer)
        run.log({"train_loss": loss}, step)
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

from trackstack.frameworks.interruption import Interruption, checkpoint_folder
from trackstack.system.stopping import Interrupted
from trackstack.tracking.run import Run, start_run
from trackstack.training.checkpoint import Checkpoints, random_states, set_random_states

__all__ = ["resumable", "start_run"]


class Stateful(Protocol):
    """A model, an optimizer, a schedule, a sampler: what has a state."""

    def state_dict(self) -> dict[str, Any]:
        """All that it needs to go on."""

    def load_state_dict(self, state_dict: dict[str, Any]) -> Any:
        """Go on from it."""


def resumable(steps: range, run: Run, **parts: Stateful) -> Iterator[int]:
    """Yield the steps that are left, with the parts and the random generators as they were before the first of them.

    Args:
        steps: epochs or batches, whatever one round of the loop is.
        parts: by name, all that changes in the loop.

    Raises:
        Interrupted: a stop file, a deadline, a signal; a checkpoint is written.
        UserError: a checkpoint of another run lies there.
    """
    checkpoints, interruption = Checkpoints(checkpoint_folder(run), run.id), Interruption(run)
    begin = steps.start
    if checkpoint := checkpoints.load():
        begin, state = checkpoint
        for name, part in parts.items():
            part.load_state_dict(state["parts"][name])
        set_random_states(state["random"])
    interruption.begin()
    for step in steps[steps.index(begin) :] if begin in steps else ():
        reason = interruption.reason()
        if reason or checkpoints.due():
            run.flush()
            state = {"parts": {name: part.state_dict() for name, part in parts.items()}, "random": random_states()}
            checkpoints.save(step, state)
        if reason:
            raise Interrupted(reason)
        yield step
    interruption.end()
