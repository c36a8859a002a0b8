"""The search that a run is a trial of looks at its metrics as they are logged, and may have it paused."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

from trackstack.system.stopping import pause

VARIABLE = "TRACKSTACK_RUNGS"
"""Set by a search for its trials: `module:function`, which is called once and returns what is told metrics and their
step, and returns why to pause, or None."""


def watch_rungs(stage: str) -> Callable[[dict[str, float], int, bool], None]:
    """What is told metrics, their step and whether they are new, and pauses this process when its search says so.

    Args:
        stage: of the run; an evaluation has its model's metrics, and is not a training that could be paused.
    """
    place = os.environ.get(VARIABLE)
    if not place or stage == "evaluate":
        return lambda values, step, is_new: None
    module, _, name = place.partition(":")
    why_to_pause = getattr(importlib.import_module(module), name)()

    def at_rung(values: dict[str, float], step: int, is_new: bool) -> None:
        if reason := why_to_pause(values, step, is_new):
            pause(reason)

    return at_rung
