"""Delivers series to `project.db`: each batch is one transaction, and points already there stay as they are."""

from __future__ import annotations

import json
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.tracking import db
from trackstack.tracking.sinks import Series


def make_sink(destination: dict[str, Any]) -> SqliteSink:
    """The sink for {"path": ".../project.db"}; nothing is opened or made yet."""
    return SqliteSink(Path(destination["path"]))


class SqliteSink:
    """The runs, points, artifacts and lineage of series in one project database.

    A connection lives for one call: a database that is moved or deleted between calls is noticed.
    """

    def __init__(self, path: Path):
        self._path = path

    def lock_file(self) -> Path:
        """Beside the file that SQLite really writes, so that all links to it share one lock."""
        path = self._path.resolve()
        return path.with_name(path.name + ".lock")

    def has(self, series: Series) -> bool:
        """Whether the database has a row for the series; a missing database is not created."""
        try:
            self._path.stat()
        except FileNotFoundError:
            return False
        except OSError as error:
            raise UserError(f"{self._path}: {error.strerror}") from error
        with db.transaction(self._path) as connection:
            query = "SELECT 1 FROM runs WHERE run_key = ? AND attempt = ?"
            return connection.execute(query, (series.run, series.number)).fetchone() is not None

    def deliver(self, series: Series, records: list[dict[str, Any]]) -> None:
        """Take new points and the present state of the series; use of the machine is not kept here."""
        with db.transaction(self._path) as connection:
            run_id = _put_run(connection, series)
            db.add_points(connection, points(run_id, records))

    def prepare(self, series: Series) -> None:
        """Nothing takes long."""

    def deliver_artifacts(self, series: Series) -> None:
        """Take the artifacts' paths and digests; of several records of a path the last describes the file."""
        with db.transaction(self._path) as connection:
            run_id = _put_run(connection, series)
            connection.executemany(
                "INSERT INTO artifacts (run_id, kind, path, digest) VALUES (?, ?, ?, ?) "
                "ON CONFLICT (run_id, path) DO UPDATE SET kind = excluded.kind, digest = excluded.digest",
                [(run_id, record["kind"], record["path"], record.get("digest")) for record in series.artifacts],
            )

    def close(self) -> None:
        """Nothing is open between calls."""


def points(run_id: int, records: list[dict[str, Any]]) -> list[tuple[int, int, str, float, float]]:
    """Rows for `db.add_points` from the metrics records, in their order."""
    return [
        (run_id, record["step"], metric, float(value), record["time"])
        for record in records
        if record["type"] == "metrics"
        for metric, value in record["values"].items()
    ]


def run_row(series: Series, dataset_id: int | None) -> dict[str, Any]:
    """The series as a row of `runs`."""
    start = series.start
    tags, environment = start["tags"], start["environment"]
    return {
        "run_key": series.run,
        "attempt": series.number,
        "dataset_id": dataset_id,
        "name": start["name"],
        "model_name": tags.get("model_name") or start["name"],
        "stage": start["stage"],
        "config": json.dumps(start["params"], ensure_ascii=False),
        "started_at": timestamp(start["time"]),
        "finished_at": None if series.finished is None else timestamp(series.finished),
        "status": series.status,
        "error": series.error,
        "reproduced": series.reproduced,
        "user": environment.get("user"),
        "host": environment.get("host"),
        "git_commit": tags.get("git_commit"),
        "dvc_exp": tags.get("dvc_exp"),
        "slurm_job_id": tags.get("slurm_job_id"),
    }


def dataset_row(data: dict[str, Any]) -> dict[str, Any]:
    """A dataset version as a row of `datasets`; what `ingest` digested tells it from others of its name."""
    row = {column: data.get(column) for column in ("name", "version", "path", "num_samples", "description")}
    return row | {"digest": data["digests"].get("ingest", data["version"])}


def timestamp(seconds: float) -> str:
    """A time as CURRENT_TIMESTAMP writes it: UTC, whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")


def _put_run(connection: sqlite3.Connection, series: Series) -> int:
    """Make the series' row with its dataset and lineage, or bring its state up to date, and return its id."""
    data = series.start.get("data")
    dataset_id = None
    if data is not None:
        changing = "version, path, num_samples, description"
        dataset_id = db.upsert(connection, "datasets", dataset_row(data), "name, digest", changing)
    changing = "status, finished_at, error, reproduced"
    run_id = db.upsert(connection, "runs", run_row(series, dataset_id), "run_key, attempt", changing)
    connection.executemany(
        "INSERT INTO lineage (run_id, stage, digest) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
        [(run_id, *item) for item in (data or {}).get("digests", {}).items()],
    )
    return run_id
