"""In the process that trains: what a metric is at a rung goes to the log, and the trial goes on or is paused.

The task of a search sets `TRACKSTACK_RUNGS` and `TRACKSTACK_SEARCH_UNIT`; `Run.log` calls what `watch` returns.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

from trackstack.cluster.search import Search, load_search
from trackstack.cluster.search.decide import decision_at_rung
from trackstack.cluster.search.log import Event, opened, read_events
from trackstack.cluster.search.state import SearchState, TrialState, as_json

UNIT = "TRACKSTACK_SEARCH_UNIT"


def variables(folder: Path, trial: int, member: int) -> dict[str, str]:
    """What the task of a search puts into the environment of a trial."""
    return {"TRACKSTACK_RUNGS": f"{__name__}:watch", UNIT: f"{trial}:{member}:{folder}"}


def watch() -> Callable[[dict[str, float], int, bool], str | None]:
    """What looks at the metrics of the run that this process records."""
    trial, member, folder = os.environ[UNIT].split(":", 2)
    return RungWatch(load_search(Path(folder)), int(trial), int(member))


class RungWatch:
    """Notices when a member of a trial gets to its next rung: at its first value there, or behind.

    How far a training was that goes on is in the log. It may tell again what it had logged before.
    """

    def __init__(self, search: Search, trial: int, member: int):
        self._search, self._trial, self._member = search, trial, member
        state = SearchState(search.settings, read_events(search.log))
        self._next = len(state.trials[trial].members[member].rungs)
        self._is_first = True

    def __call__(self, values: dict[str, float], step: int, is_new: bool = True) -> str | None:
        """Why to pause; None to go on."""
        settings = self._search.settings
        name = settings.metrics[0].name
        if name not in values:
            return None
        if is_new and self._is_first and self._next and step < settings.rung(self._next - 1):
            with opened(self._search.log) as log:  # no checkpoint was kept there: people want to know that
                log.append({"event": "again", "trial": self._trial, "member": self._member, "step": step})
        self._is_first = self._is_first and not is_new
        if not settings.has_passed(self._next, step):
            return None
        with opened(self._search.log) as log:
            state = SearchState(settings, log.events)
            trial = state.trials[self._trial]
            log.append(*self._new_events(state, trial, as_json(values[name]), step))
            rung = self._next - 1
            if self._member in state.missing(trial):
                return None
        return f"paused at {settings.rung(rung)} steps: others of search {self._search.name} come first"

    def _new_events(self, state: SearchState, trial: TrialState, value: float | None, step: int) -> Iterator[Event]:
        """A line for each rung that this value is the first at, and for what is decided there."""
        reached = trial.members[self._member].rungs
        while state.settings.has_passed(len(reached), step):
            rung = len(reached)
            event = {"event": "rung", "trial": self._trial, "member": self._member, "rung": rung, "value": value}
            state.add(event)
            yield event
            if trial.target == rung and (decision := decision_at_rung(state, trial)):
                state.add(decision)
                yield decision
        self._next = len(reached)
