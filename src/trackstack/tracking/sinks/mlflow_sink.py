"""MLflow: one run per series, reached by URI alone, be it a database or a tracking server.

A run carries the tag `trackstack.key` and is found by it. MLflow keeps every point that differs in time or
value, so what is there already at a step is looked up before anything is sent. A run that somebody deleted in
MLflow stays deleted. MLflow's databases cannot hold infinities; it makes them the largest float64.
"""

from __future__ import annotations

import contextlib
import os
import tempfile
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.tracking.addresses import database_to_open, with_password
from trackstack.tracking.sinks import Series, takes_model
from trackstack.tracking.sinks.mlflow_model import (
    Exports,
    export_model,
    is_ready,
    log_model,
    logged_model,
    register_model,
)
from trackstack.tracking.sinks.mlflow_records import (
    KEY_TAG,
    MAX_VALUE,
    Point,
    artifact_folder,
    artifacts_digest,
    dataset_input,
    milliseconds,
    run_params,
    run_tags,
    to_points,
)
from trackstack.tracking.sinks.mlflow_store import make_database, refuse_where_home_was, refused, weight

SETTINGS = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    # It logs a traceback of what it raises as well.
    "MLFLOW_LOGGING_LEVEL": "CRITICAL",
    # A connection that stays open would go on writing a database that was moved aside.
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",
}
"""Environment variables for MLflow, unless they are set."""

STATUS = {"running": "RUNNING", "finished": "FINISHED", "failed": "FAILED"}  # otherwise KILLED
DATABASES = ("sqlite", "postgresql", "mysql", "mssql")
DELIVERED_TAG = "trackstack.artifacts"
MAX_POINTS, MAX_PARAMS = 900, 100
"""Of one request, which takes 1,000 of both together."""
EXPERIMENT_SECONDS = 30.0


def make_sink(destination: dict[str, str]) -> MlflowSink:
    """The sink for {"uri", "artifacts", "experiment"}; nothing is contacted yet."""
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    return MlflowSink(with_password(destination["uri"]), Path(destination["artifacts"]), destination["experiment"])


class MlflowSink:
    """See `trackstack.tracking.sinks.Sink`."""

    def __init__(self, uri: str, artifacts: Path, experiment: str):
        self._uri, self._artifacts, self._experiment = uri, artifacts, experiment
        self._database = database_to_open(uri)
        self._run_ids: dict[str, str] = {}
        self._looked_up: Any = None
        """The run that was just looked for, and found."""
        self._absent: str | None = None
        """The key of the series that was just looked for, and not found."""
        self._experiments: tuple[float, str | None] = (0.0, None)
        self._exports: Exports = {}

    def lock_file(self) -> Path | None:
        """Beside the database; a server guards its own."""
        return self._database and self._database.with_name(self._database.name + ".lock")

    def has(self, series: Series) -> bool:
        """Whether there is a run with the key of this series, deleted ones included."""
        if self._database and not self._database.exists():
            self._run_ids, self._experiments = {}, (0.0, None)
            return False
        if series.key in self._run_ids:
            with contextlib.suppress(Exception):  # another database is in its place
                self._looked_up = self._client.get_run(self._run_ids[series.key])
                return self._looked_up.data.tags.get(KEY_TAG) == series.key
        found = self._search(series)
        self._absent, self._looked_up = series.key, None
        if found:
            self._absent, self._looked_up = None, self._one_of(found)
            self._run_ids[series.key] = self._looked_up.info.run_id
        return bool(found)

    def deliver(self, series: Series, records: list[dict[str, Any]]) -> None:
        """Send what MLflow lacks: description, points, then the state."""
        run = self._run(series)
        if run.info.lifecycle_stage == "deleted":
            return
        latest = [Point(m.key, m.step, m.timestamp, m.value) for m in run.data.to_proto().metrics]
        points = list(to_points(series.start["time"], records))
        params = [item for item in run_params(series.start).items() if item[0] not in run.data.params]
        self._send(run.info.run_id, params, self._missing(run.info.run_id, points, latest))
        self._add_dataset(run, series.start)
        newest = max(point.time for point in (*latest, *points, Point("", 0, run.info.start_time, 0.0)))
        self._set_state(run, series, newest)

    def prepare(self, series: Series) -> Callable[[], None] | None:
        """The export of a model that MLflow lacks: some seconds."""
        if not any(artifact["kind"] == "model" for artifact in series.artifacts):
            return None
        run = self._run(series)
        if not takes_model(series) or self._has_files(run, series):
            return None
        models = [artifact for artifact in series.artifacts if artifact["kind"] == "model" and artifact.get("loader")]
        logged = [(logged_model(self._client, run, artifact), artifact) for artifact in models]
        lacking = [(model, artifact) for model, artifact in logged if not is_ready(model)]

        def export() -> None:
            for model, artifact in lacking:
                folder = tempfile.TemporaryDirectory()
                export_model(model, run.info.run_id, series, artifact, Path(folder.name, "model"))
                self._exports[model.model_id] = folder

        return export if lacking else None

    def deliver_artifacts(self, series: Series) -> None:
        """Upload reports, plots and files, log the model where it is wanted, and register it when it is promoted."""
        with_model = takes_model(series)
        if not series.artifacts or self._has_files(run := self._run(series), series):
            return
        refuse_where_home_was(run.info.artifact_uri, self._database, self._artifacts)
        # The model comes last: it is what can fail.
        for artifact in sorted(series.artifacts, key=lambda artifact: artifact["kind"] == "model"):
            if artifact["kind"] != "model" or with_model:
                self._log_artifact(run, series, artifact)
        self._client.set_tag(run.info.run_id, DELIVERED_TAG, artifacts_digest(series, with_model))

    def close(self) -> None:
        """Nothing stays open between calls."""

    @property
    def _client(self) -> Any:
        if self._database and not self._database.exists():
            make_database(self._database, self._artifacts)
        return self._opened_client

    @cached_property
    def _opened_client(self) -> Any:
        from mlflow.tracking import MlflowClient

        return MlflowClient(tracking_uri=self._uri)

    def _experiment_id(self) -> str | None:
        """That of the experiment, looked up now and then: somebody may delete it."""
        since, known = self._experiments
        if known is None or time.monotonic() - since > EXPERIMENT_SECONDS:
            self._experiments = time.monotonic(), self._find_experiment()
        return self._experiments[1]

    def _find_experiment(self) -> str | None:
        experiment = self._client.get_experiment_by_name(self._experiment)
        if experiment is not None and experiment.lifecycle_stage == "deleted":
            raise UserError(
                f"MLflow: experiment {self._experiment!r} is deleted; choose another by MLFLOW_EXPERIMENT_NAME, "
                f"or type: mlflow experiments restore --experiment-id {experiment.experiment_id}"
            )
        return experiment and experiment.experiment_id

    @property
    def _is_database(self) -> bool:
        return self._uri.partition(":")[0].partition("+")[0] in DATABASES

    def _create_experiment(self) -> str | None:
        location = self._artifacts.resolve().as_uri() if self._is_database else None
        # Refused when another client was quicker.
        refused("RESOURCE_ALREADY_EXISTS", self._client.create_experiment, self._experiment, location)
        return self._experiment_id()

    def _search(self, series: Series) -> list[Any]:
        """The runs of a series, first the one that counts."""
        from mlflow.entities import ViewType

        if (experiment := self._experiment_id()) is None:
            return []
        runs = self._client.search_runs(
            [experiment], f"tags.`{KEY_TAG}` = '{series.key}'", run_view_type=ViewType.ALL
        )
        return sorted(runs, key=weight, reverse=True)

    def _run(self, series: Series) -> Any:
        """The run of a series, made when there is none."""
        run, self._looked_up = self._looked_up, None
        if run is not None and run.info.run_id == self._run_ids.get(series.key):
            return run
        if series.key in self._run_ids:
            return self._client.get_run(self._run_ids[series.key])
        found = [] if self._absent == series.key else self._search(series)
        run = self._one_of(found or self._create_run(series))
        self._run_ids[series.key] = run.info.run_id
        return run

    def _one_of(self, runs: list[Any]) -> Any:
        """The run that counts; a request whose answer was lost may have made others, which nobody has filled."""
        for other in runs[1:]:
            if other.info.lifecycle_stage == "active":
                self._client.delete_run(other.info.run_id)
        return runs[0]

    def _create_run(self, series: Series) -> list[Any]:
        run = self._client.create_run(
            self._experiment_id() or self._create_experiment(),
            start_time=milliseconds(series.start["time"]),
            tags=run_tags(series),
            run_name=series.start["name"],
        )
        return [run] if self._is_database else self._search(series)  # a server may have been asked twice

    def _add_dataset(self, run: Any, start: dict[str, Any]) -> None:
        if start.get("data") and not run.inputs.dataset_inputs:
            dataset = dataset_input(start["data"])
            # A server refuses the second of two runs that bring it a new dataset at once.
            if refused("BAD_REQUEST", self._client.log_inputs, run.info.run_id, [dataset]):
                self._client.log_inputs(run.info.run_id, [dataset])

    def _missing(self, run_id: str, points: list[Point], latest: list[Point]) -> list[Point]:
        """The points at steps that MLflow does not hold, the first of each step.

        Beyond the latest step nothing can be there: histories are read only after a repeated delivery.
        """
        last = {point.name: point.step for point in latest}
        repeated = {point.name for point in points if point.step <= last.get(point.name, point.step - 1)}
        held = {(name, metric.step) for name in repeated for metric in self._client.get_metric_history(run_id, name)}
        new: dict[tuple, Point] = {}
        for point in points:
            if point[:2] not in held:
                new.setdefault(point[:2], point)
        return list(new.values())

    def _send(self, run_id: str, params: list[tuple[str, str]], points: list[Point]) -> None:
        from mlflow.entities import Metric, Param

        while params or points:
            some, params = [Param(*item) for item in params[:MAX_PARAMS]], params[MAX_PARAMS:]
            metrics = [Metric(point.name, point.value, point.time, point.step) for point in points[:MAX_POINTS]]
            self._client.log_batch(run_id, metrics, some)
            points = points[MAX_POINTS:]

    def _set_state(self, run: Any, series: Series, newest: int) -> None:
        run_id, info, tags = run.info.run_id, run.info, run.data.tags
        wanted = {"trackstack.error": series.error, "trackstack.reproduced": series.reproduced}
        held = [f"{kept['name']}@{alias}" for kept in series.versions for alias in kept["aliases"]]
        wanted["trackstack.status"] = None if series.status in STATUS else series.status  # MLflow has no word for it
        wanted["trackstack.promoted"] = ", ".join(held) or None
        for tag, value in wanted.items():
            if value and tags.get(tag) != str(value)[:MAX_VALUE]:
                self._client.set_tag(run_id, tag, str(value)[:MAX_VALUE])
            elif not value and tag in tags:
                self._client.delete_tag(run_id, tag)
        status = STATUS.get(series.status, "KILLED")
        if status == "RUNNING":
            if info.status != status:
                self._client.update_run(run_id, status=status)
            return
        end = milliseconds(series.finished) if series.finished else max(info.end_time or 0, newest)
        if (info.status, info.end_time) != (status, end):
            self._client.set_terminated(run_id, status, end)

    def _has_files(self, run: Any, series: Series) -> bool:
        """Whether nothing is to be uploaded; that of a deleted run never is."""
        delivered = artifacts_digest(series, takes_model(series))
        return run.info.lifecycle_stage == "deleted" or run.data.tags.get(DELIVERED_TAG) == delivered

    def _log_artifact(self, run: Any, series: Series, artifact: dict[str, Any]) -> None:
        path = series.folder / artifact["path"]
        if not path.exists():
            raise UserError(f"{path}: no such file; MLflow has run {series.key} without this {artifact['kind']}")
        if artifact.get("loader"):
            logged = log_model(self._client, run, series, artifact, self._exports)
            # By its place: an id would be looked up wherever this process's own MLFLOW_TRACKING_URI points.
            source, model_id = logged.artifact_location, logged.model_id
        else:
            place = artifact_folder(artifact)
            if path.is_dir():
                self._client.log_artifacts(run.info.run_id, str(path), str(place))
            else:
                self._client.log_artifact(run.info.run_id, str(path), str(place.parent))
            source, model_id = f"{run.info.artifact_uri}/{place}", None
        register_model(self._client, run.info.run_id, series, artifact, source, model_id)
