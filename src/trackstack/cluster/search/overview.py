"""A sweep or a search as `status` shows it: what all trials share, a row for each of them, and a line about all."""

from __future__ import annotations

from typing import Any, NamedTuple

from trackstack.cluster.search import is_search, load_search
from trackstack.cluster.search.looks import read_state, rows
from trackstack.cluster.search.looks import summary as summary_of_search
from trackstack.cluster.sweep import SHARED, Sweep, find_sweep, summary
from trackstack.system.lease import is_live


class Overview(NamedTuple):
    """A sweep or a search, as it is now."""

    kind: str
    """sweep or search."""
    sweep: Sweep
    metrics: list[str]
    """What a search compares its trials by; of a sweep nothing."""
    shared: dict[str, Any]
    """A row as those of the trials are, with the stages for parameters."""
    trials: list[dict[str, Any]]
    summary: str

    def is_at_work(self) -> bool:
        """Whether something runs or is queued."""
        return is_live(self.sweep.folder) or bool(self.sweep.tasks())


def read_overview(name: str | None) -> Overview:
    """The sweep or the search of this name in this home, by default the newest; UserError without one."""
    sweep = find_sweep(name)
    statuses = sweep.statuses(is_live(sweep.folder))
    shared = {"trial": SHARED, "parameters": sweep.shared, **vars(statuses[SHARED])}
    if is_search(sweep.folder):
        search = load_search(sweep.folder)
        state = read_state(search)
        found, metrics = rows(search, state), [metric.name for metric in search.settings.metrics]
        line = summary_of_search(search, state, [row["state"] for row in found])
        return Overview("search", sweep, metrics, shared, found, line)
    found = [
        {"trial": trial.name, "parameters": trial.overrides, **vars(statuses[trial.name])} for trial in sweep.trials
    ]
    return Overview("sweep", sweep, [], shared, found, summary(statuses))
