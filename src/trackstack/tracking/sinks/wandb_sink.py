"""Weights & Biases: an ordinary W&B run in the run's folder, offline or online.

Offline, W&B keeps every process's share of a run in a folder of its own, which `wandb sync` uploads in order.
So whole folders, which may have been uploaded, are kept and continued in a new one; one that its writer did not
live to finish is removed and written again. Online, the server says how far the run has come.

Neither the command line nor the environment is recorded: either may hold secrets.
"""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.tracking.sinks import Series
from trackstack.tracking.sinks.folder import FolderSink, Row, Seen, new_rows, remove_unfinished

NUMBERS = itertools.count()
UPLOADED = ("model", "report")

SETTINGS = {
    "console": "off",
    "silent": True,
    "save_code": False,
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "symlink": False,
    "use_dot_wandb": False,
    "reinit": "create_new",
    "program": "trackstack",
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 2.0,
    "init_timeout": 30.0,
    "finish_timeout": 120.0,
    "finish_timeout_raises": True,
}


def make_sink(destination: dict[str, Any]) -> FolderSink:
    """The sink for `mode`, `project` and, where it is given, `entity`."""
    # Even offline W&B would try to send its makers a report on itself, from threads of its own.
    os.environ.setdefault("WANDB_ERROR_REPORTING", "false")

    def make_writer(series: Series, marker: dict[str, Any], complete: bool) -> RunWriter:
        remove_unfinished(_folder(series), "*run-*", keep=marker.get("parts", []))
        return RunWriter(destination, series, _folder(series), marker)

    return FolderSink(_folder, make_writer)


def _folder(series: Series) -> Path:
    """The folder in which W&B makes its own: it insists on the last name."""
    return (series.folder if series.number == 1 else series.folder / f"wandb-{series.number}") / "wandb"


class RunWriter:
    """Writes one series as one W&B run."""

    def __init__(self, destination: dict[str, Any], series: Series, folder: Path, marker: dict[str, Any]):
        self.series = series
        self._destination, self._folder = destination, folder
        self._parts: list[str] = marker.get("parts", [])
        self._artifacts: list[dict[str, Any]] = marker.get("logged", [])
        self._seen = Seen(set, {name: set(steps) for name, steps in marker.get("points", {}).items()})
        self._status = marker.get("state", {}).get("status")
        self._late: list[Row] = []
        self._logged: set[str] = set()
        self._run: Any = None
        if not self._parts:
            self._start()

    def write(self, records: list[dict[str, Any]]) -> None:
        """Log what is new; W&B takes steps in ascending order, so a late one has to wait for the end."""
        rows = list(new_rows(records, self._seen, self.series.start["time"]))
        for row in sorted(rows, key=lambda row: row.step):
            if self._run is None:
                self._start()
            if row.system:
                self._log_system(row)
            elif row.step < self._step:
                self._late.append(row)
            else:
                self._log(row)

    def write_artifacts(self) -> None:
        """Log model and report, which are uploaded from copies in the run's folder."""
        import wandb

        for kind in UPLOADED:
            records = [record for record in self.series.artifacts if record["kind"] == kind]
            paths = [self.series.folder / record["path"] for record in records]
            if not any(path.exists() for path in paths) or all(r in self._artifacts for r in records):
                continue
            if self._run is None:
                self._start()
            digests = {record["path"]: record.get("digest") for record in records}
            with _inside(self._folder):
                artifact = wandb.Artifact(f"{kind}-{self.series.key}", type=kind, metadata=digests)
                for path in filter(Path.exists, paths):
                    artifact.add_dir(str(path)) if path.is_dir() else artifact.add_file(str(path))
                self._run.log_artifact(artifact)
            self._artifacts += records

    def finish(self) -> dict[str, Any]:
        """Log what came late and finish the run, so that W&B shows it as failed unless it finished."""
        if self._run is None and self._status != self.series.status:
            self._start()
        if self._late and self._is_online():
            self._run.summary.update(self._late_figures())
        elif self._late:
            self._stop()
            self._start()
            for row in sorted(self._late, key=lambda row: row.step):
                self._log(row)
        if self._run is not None:
            self._stop()
        points = {name: sorted(steps) for name, steps in self._seen.items()}
        return {"parts": self._parts, "logged": self._artifacts, "points": points}

    def abandon(self) -> None:
        """Let go of the run."""
        if self._run is not None:
            with contextlib.suppress(Exception):
                self._run.finish(exit_code=1)

    def _is_online(self) -> bool:
        return self._destination["mode"] == "online"

    def _start(self) -> None:
        import wandb

        start = self.series.start
        suffix = f"{os.getpid()}-{next(NUMBERS)}"
        with _inside(self._folder):
            self._run = wandb.init(
                project=self._destination.get("project"),
                entity=self._destination.get("entity"),
                mode=self._destination["mode"],
                id=self.series.key,
                resume="allow",
                name=start["name"],
                config=start["params"],
                dir=str(self._folder.parent),
                settings=wandb.Settings(**SETTINGS, x_sync_dir_suffix=suffix),
            )
        # What the server has of a run is not logged to it again.
        self._step = self._run.starting_step if self._is_online() else 0
        self._time: float | None = None

    def _stop(self) -> None:
        part = Path(self._run.settings.sync_dir).name
        self._run.summary["trackstack_status"] = self.series.status  # W&B knows failed runs alone
        self._run.finish(exit_code=0 if self.series.status == "finished" else 1)
        self._run = None
        self._parts = [*self._parts, part]

    def _log(self, row: Row) -> None:
        """Add to the row of a step, which keeps the time of its first record."""
        if row.step > self._step or self._time is None:
            self._time = row.time
        self._step = row.step
        self._logged.update(row.values)
        self._run.log({**row.values, "_timestamp": self._time}, step=row.step)

    def _log_system(self, row: Row) -> None:
        """Add to W&B's own panel of the machine, for which there is no public call."""
        interface = self._run._interface
        values = {name.removeprefix("system/"): value for name, value in row.values.items()}
        stats = interface._make_stats(values)
        stats.timestamp.FromMilliseconds(round(row.time * 1000))
        interface._publish(interface._make_record(stats=stats))

    def _late_figures(self) -> dict[str, float]:
        """Last values of metrics that the server's history has no room for any more."""
        rows = sorted(self._late, key=lambda row: row.step)
        figures = {name: value for row in rows for name, value in row.values.items()}
        return {name: value for name, value in figures.items() if name not in self._logged}


@contextlib.contextmanager
def _inside(folder: Path) -> Iterator[None]:
    """Keep W&B's caches and copies in the run's folder, unless the user has said where they go."""
    wanted = {f"WANDB_{name}_DIR": str(folder / name.lower()) for name in ("CACHE", "DATA", "ARTIFACT")}
    added = {name: value for name, value in wanted.items() if name not in os.environ}
    os.environ.update(added)
    try:
        yield
    finally:
        for name in added:
            del os.environ[name]
