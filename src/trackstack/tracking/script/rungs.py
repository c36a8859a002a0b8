"""The search that a run is a trial of looks at its metrics as they are logged, and may have it paused."""

from __future__ import annotations

import importlib
import os
from collections.abc import Callable

VARIABLE = "TRACKSTACK_RUNGS"
"""Set by a search for its trials: `module:function`, which is called once and returns what looks."""


def watch_rungs() -> Callable[[dict[str, float], int], str | None] | None:
    """What is to be told metrics and their step, and returns why to pause, or None; None outside a search."""
    place = os.environ.get(VARIABLE)
    if not place:
        return None
    module, _, name = place.partition(":")
    return getattr(importlib.import_module(module), name)()
