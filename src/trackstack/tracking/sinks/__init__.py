"""Back ends, each behind the same small interface, imported only when they are used.

A sink delivers whole series. It must be idempotent: records that it has been given before change nothing, so
that a delivery can be repeated after any kill. `trackstack.tracking.sync` sees to it that one process at a time
delivers a run, and that one process at a time writes a database.
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from trackstack import UserError

SINKS = ("sqlite", "mlflow", "tensorboard", "wandb")
"""Their packages have the same names; that of SQLite comes with Python."""
IN_RUN_FOLDERS = ("tensorboard", "wandb")
"""Those whose files lie in the run's own folder."""
LOG_MODELS = ("all", "promoted", "none")
MEND_PROMOTION = "trackstack runs promote RUN writes it anew"


@dataclass
class Series:
    """What is known of one series of attempts at a run: the unit that a back end shows as a run."""

    run: str
    """The id, `r` and 12 hex digits."""
    number: int
    """The first attempt of the series; 1 for all but re-executions that came out differently."""
    folder: Path
    """`HOME/runs/RUN`"""
    start: dict[str, Any]
    """The start record of its first attempt: name, params, tags, data, environment, time."""
    status: str = "running"
    """running, finished, interrupted, paused, pruned, failed, or lost: no end was recorded and nobody is writing."""
    error: str | None = None
    finished: float | None = None
    """Time of the end."""
    reproduced: int = 0
    """How often the run was executed again with equal results."""
    num_records: int = 0
    """How many metrics and system records it has so far."""
    artifacts: list[dict[str, Any]] = field(default_factory=list)
    """Artifact records so far; their paths are relative to `folder`."""
    upstream: list[dict[str, Any]] = field(default_factory=list)
    """What each attempt was made from; see `trackstack.tracking.upstream`."""
    spent: list[dict[str, Any]] = field(default_factory=list)
    """What each execution used, re-executions among them; see `trackstack.tracking.spending`."""
    destinations: dict[str, dict[str, Any]] = field(default_factory=dict)
    """By back end, what `open_sink` takes: all that its executions, re-executions among them, asked for."""

    @property
    def home(self) -> Path:
        """The folder of all runs' records, which is the root of the repository unless somebody chose another."""
        return self.folder.parent.parent

    @property
    def key(self) -> str:
        """The run's id, with the number of the series unless it is the first."""
        return self.run if self.number == 1 else f"{self.run}-{self.number}"

    @property
    def versions(self) -> list[dict[str, Any]]:
        """What its model was promoted to: name, version, aliases and more; see `write_notes`.

        Raises:
            UserError: the note of it is damaged.
        """
        from trackstack.core.files import read_json  # with numpy, which opening a back end does without

        try:
            return read_json(promotion_file(self.folder, self.number), MEND_PROMOTION).get("models", [])
        except FileNotFoundError:
            return []

    @property
    def promoted(self) -> bool:
        """Whether its model was promoted; one whose note is damaged was, to something."""
        try:
            return bool(self.versions)
        except UserError:
            return True


def promotion_file(folder: Path, number: int) -> Path:
    """The note, in a run's folder, of what the model of a series was promoted to."""
    return folder / f"promoted-{number}.json"


def takes_model(series: Series) -> bool:
    """Whether MLflow is to get the model of a series, and TensorBoard its graph, by TRACKSTACK_LOG_MODELS."""
    tags = series.start.get("tags", {})
    chosen = os.environ.get("TRACKSTACK_LOG_MODELS") or ("promoted" if "sweep" in tags else "all")
    if chosen not in LOG_MODELS:
        raise UserError(f"TRACKSTACK_LOG_MODELS is {chosen!r}; expected one of {', '.join(LOG_MODELS)}")
    return chosen == "all" or (chosen == "promoted" and series.promoted)


class OwnProcessNeededError(Exception):
    """A module of a run is to be imported, where those of other runs may have the same name."""


_delivers_many = False


def deliver_many() -> None:
    """From now on this process imports no module of a run."""
    global _delivers_many
    _delivers_many = True


def require_own_process() -> None:
    """Say that a module of the run is about to be imported; OwnProcessNeededError where that may not be."""
    if _delivers_many:
        raise OwnProcessNeededError


def load_by_name(name: str, home: Path) -> Callable[..., Any]:
    """The function that an artifact's record names as `module:function`.

    Args:
        home: of the run: where `trackstack sync` finds the modules of a repository that is not installed.
    """
    sys.path += [str(folder) for folder in (home, home / "src") if str(folder) not in sys.path]
    module, function = name.split(":")
    return getattr(importlib.import_module(module), function)


def is_installed(package: str) -> bool:
    """Whether a package can be imported, found out without importing it."""
    spec = importlib.util.find_spec(package)
    return spec is not None and spec.origin is not None  # W&B makes folders `wandb`, which are no package


class Sink(Protocol):
    """A back end at one destination."""

    def lock_file(self) -> Path | None:
        """The file whose lock a writer must hold, beside the database; None when there is none to guard."""

    def has(self, series: Series) -> bool:
        """Whether the back end holds this series; when it does not, everything is delivered from the start."""

    def deliver(self, series: Series, records: list[dict[str, Any]]) -> None:
        """Take new `metrics` and `system` records and the present state of the series.

        May raise anything: the caller reports it once and delivers again later.
        """

    def prepare(self, series: Series) -> Callable[[], None] | None:
        """What takes long about the files of an ended series and needs no lock, to be called in a thread."""

    def deliver_artifacts(self, series: Series) -> None:
        """Take the files of an ended series; called after its points are everywhere."""

    def close(self) -> None:
        """Release what is open."""


def open_sink(name: str, destination: dict[str, Any]) -> Sink:
    """The sink for one entry of a start record's `destinations`, such as {"path": ".../project.db"}.

    Raises:
        UserError: no such sink, or its package is not installed.
    """
    if name not in SINKS:
        raise UserError(f"TRACKSTACK_SINKS: {name!r} is no sink; expected some of {', '.join(SINKS)}")
    if name != "sqlite" and not is_installed(name):
        raise UserError(f'{name} is not installed; type: pip install "trackstack[{name}]"')
    return importlib.import_module(f"{__name__}.{name}_sink").make_sink(destination)
