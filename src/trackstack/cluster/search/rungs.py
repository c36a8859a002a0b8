"""In the process that trains: what a metric is at a rung goes to the log, and the trial goes on or is paused.

The task of a search sets `TRACKSTACK_RUNGS` and `TRACKSTACK_SEARCH_UNIT`; `Run.log` calls what `watch` returns.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from trackstack.cluster.search import Search, load_search
from trackstack.cluster.search.decide import decision_at_rung
from trackstack.cluster.search.log import opened
from trackstack.cluster.search.state import SearchState, as_json

UNIT = "TRACKSTACK_SEARCH_UNIT"


def variables(folder: Path, trial: int, member: int) -> dict[str, str]:
    """What the task of a search puts into the environment of a trial."""
    return {"TRACKSTACK_RUNGS": f"{__name__}:watch", UNIT: f"{trial}:{member}:{folder}"}


def watch() -> Callable[[dict[str, float], int], str | None]:
    """What looks at the metrics of the run that this process records."""
    trial, member, folder = os.environ[UNIT].split(":", 2)
    return RungWatch(load_search(Path(folder)), int(trial), int(member))


class RungWatch:
    """Notices when a member of a trial gets to its next rung.

    It is told all metrics from the first step on, those before an interruption included.
    """

    def __init__(self, search: Search, trial: int, member: int):
        self._search, self._trial, self._member = search, trial, member
        self._next = 0

    def __call__(self, values: dict[str, float], step: int) -> str | None:
        """Why to pause; None to go on."""
        settings = self._search.settings
        name = settings.metrics[0].name
        if name not in values or not settings.has_rung(self._next) or step + 1 < settings.rung(self._next):
            return None
        rung, self._next = self._next, self._next + 1
        with opened(self._search.log) as log:
            state = SearchState(settings, log.events)
            trial = state.trials[self._trial]
            if rung == len(trial.members[self._member].rungs):
                event = {"event": "rung", "trial": self._trial, "member": self._member, "rung": rung}
                event["value"] = as_json(values[name])
                state.add(event)
                decision = decision_at_rung(state, trial) if trial.target == rung else None
                log.append(event, *([decision] if decision else []))
                if decision:
                    state.add(decision)
            if self._member in state.missing(trial):
                return None
        return f"paused at {settings.rung(rung)} steps: others of search {self._search.name} come first"
