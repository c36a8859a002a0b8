"""The run of a training or an evaluation, as its own process sees it: `log`, and leave the rest to the journal.

with start_run("my-model", {"lr": 0.1}) as run:
    run.log({"train_loss": 0.5}, step=0)
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.core.digest import digest_file, digest_json, digest_path
from trackstack.core.files import remove
from trackstack.system.group import share_with_group
from trackstack.system.lease import give_back_lease, keep_lease, take_lease
from trackstack.system.redaction import redact
from trackstack.system.stopping import EXIT_INTERRUPTED
from trackstack.tracking.delivery.keeper import Keeper, longest_wait, wait_for_delivery
from trackstack.tracking.environment import destinations, environment, home, tags
from trackstack.tracking.journal import Journal, now
from trackstack.tracking.monitor import Monitor
from trackstack.tracking.packages import LOCK
from trackstack.tracking.series import RunFolder
from trackstack.tracking.snapshot import keep_source


class Run:
    """A run that is being recorded. Made by `start_run`."""

    def __init__(self, folder: Path, journal: Journal):
        self.id = folder.name
        self.folder = folder
        self.attempt = journal.attempt
        self._journal = journal
        self._unwritten: list[dict[str, Any]] = []
        self._lock = threading.Lock()

    def log(self, values: dict[str, float], step: int) -> None:
        """Record metrics at a step: some microseconds, and never a wait for a back end."""
        self._write({"type": "metrics", "time": now(), "step": step, "values": values})

    def log_artifact(
        self, path: Path, kind: str = "file", loader: str | None = None, exporter: str | None = None
    ) -> None:
        """Record a file or a folder, and keep a copy in the run's folder for the back ends.

        Args:
            kind: model, report, plot or file.
            loader: of a model: `module:function` that returns a model and an example input for its path.
            exporter: of a model: `module:function` that is called with MLflow's folder of the exported model, and its
                own path, to add what people load it with.
        """
        kept = self.folder / "artifacts" / f"{self.attempt}" / path.name
        try:
            _copy(path, kept)
        except OSError as error:
            remove(kept)
            _warn(f"{kept}: {error.strerror}: back ends do without this {kind}; {path} itself is whole")
        record = {"type": "artifact", "time": now(), "kind": kind, "path": str(kept.relative_to(self.folder))}
        how = {"loader": loader, "exporter": exporter}
        self._write(record | {"name": path.name, "digest": digest_path(path)} | how)

    def flush(self) -> None:
        """Return when everything logged so far is on disk: at the end of an epoch.

        Raises:
            UserError: another process has become the writer of this run.
        """
        keep_lease(self.folder)
        try:
            self._journal.flush()
        except OSError as error:
            _warn(f"{self._journal.path}: {error.strerror}: the record may lack its last lines; the run goes on")

    def _begin(self, start: dict[str, Any]) -> None:
        self._journal.write(start)
        self._journal.flush()

    def _log_system(self, values: dict[str, float]) -> None:
        self._write({"type": "system", "time": now(), "values": values})

    def _write(self, record: dict[str, Any]) -> None:
        """Append a record. Where there is no room it waits for the next one: a record must not cost the result."""
        with self._lock:
            waiting = bool(self._unwritten)
            self._unwritten.append(record)
            try:
                while self._unwritten:
                    self._journal.write(self._unwritten[0])
                    del self._unwritten[0]
            except OSError as error:
                if not waiting:
                    _warn(f"{self._journal.path}: {error.strerror}: the run goes on, and its record waits for room")

    def _end(self, status: str, error: str | None) -> None:
        self._write({"type": "end", "time": now(), "status": status, "error": redact(error)})
        if self._unwritten:
            _warn(
                f"{self._journal.path}: {len(self._unwritten)} records, the end among them, were not kept; "
                "make room, and run it again"
            )
        try:
            self._journal.close()
        except OSError as fault:
            _warn(f"{self._journal.path}: {fault.strerror}: the record may lack its last lines")


@contextlib.contextmanager
def start_run(
    name: str,
    params: dict[str, Any] | None = None,
    *,
    run_id: str | None = None,
    stage: str = "run",
    series: int | None = None,
    data: dict[str, Any] | None = None,
    extra_tags: dict[str, str] | None = None,
    device: str = "cpu",
) -> Iterator[Run]:
    """Record what happens in the block as a run.

    Args:
        name: readable; MLFLOW_RUN_NAME and the name of a DVC experiment take its place.
        params: whatever decides the result, as JSON values; equal name, parameters and script are the same run.
        run_id: the id, where somebody else computes it.
        stage: what part of a run this is; `evaluate` reports into the run of its model.
        series: the attempt that this one belongs to; by default one that did not finish, which it goes on from, or
            else its own.
        data: the dataset version: name, version, path, num_samples, description, digests.
        extra_tags: added to commit, experiment and job.
        device: of the computation, for the environment.

    Raises:
        UserError: another process is at work on this run.
    """
    params, patience = params or {}, longest_wait()
    share_with_group(home())
    folder = home() / "runs" / (run_id or _own_id(name, params))
    take_lease(folder)
    series = series or _unfinished_series(folder, stage)
    run = Run(folder, Journal(folder))
    surroundings = environment(device)
    start = {
        "type": "start",
        "time": now(),
        "run": run.id,
        "attempt": run.attempt,
        "stage": stage,
        "series": series or run.attempt,
        "name": os.environ.get("MLFLOW_RUN_NAME") or os.environ.get("DVC_EXP_NAME") or name,
        "params": params,
        "tags": tags() | _source_tag(run, series) | (extra_tags or {}),
        "data": data,
        "upstream": _upstream(),
        "environment": surroundings,
        "destinations": destinations(home()),
    }
    recorded = redact(start)
    recorded["environment"]["packages"] = surroundings["packages"]  # google-auth is the name of no secret
    run._begin(recorded)
    _warn_of_drift(surroundings.get("drift"))
    keeper = Keeper(home(), run.id, run.attempt) if start["destinations"] else None
    with _recorded_end(run, keeper, patience):
        yield run


@contextlib.contextmanager
def _recorded_end(run: Run, keeper: Keeper | None, patience: float) -> Iterator[None]:
    """Sample the machine during the block; record how it ended, and let the points go out."""
    monitor = Monitor(run._log_system)
    status, error = "finished", None
    try:
        yield
    except BaseException as fault:
        status, error = _how_it_ended(fault)
        raise
    finally:
        monitor.stop()
        run._end(status, error)
        if keeper:
            keeper.end()
        give_back_lease(run.folder)
        _write_status_file(run, status, error)
        # Whoever interrupts does not want to wait: the deliverer goes on, or sync does.
        if keeper and status != "interrupted":
            elsewhere = home().resolve() != Path.cwd().resolve()
            wait_for_delivery(keeper, run.folder, run.attempt, patience, whole=elsewhere)


def _warn_of_drift(drift: list[str] | None) -> None:
    if drift:
        more = f" and {len(drift) - 3} more" if len(drift) > 3 else ""
        _warn(f"packages are not those of {LOCK}: {'; '.join(drift[:3])}{more}; pip install --requirement {LOCK}")


def _upstream() -> dict[str, Any] | None:
    """What DVC knows of the origin of this run; nothing for a script that no stage runs."""
    if "DVC_STAGE" not in os.environ:
        return None
    from trackstack.tracking.upstream import upstream_of_running_stage  # with DVC's parser, a third of a second

    return upstream_of_running_stage()


def _unfinished_series(folder: Path, stage: str) -> int | None:
    """The series of a stage's last attempt at the run, unless that finished."""
    # Without a checkpoint a stage does the same again; a person's own script may not.
    if stage == "run" and not any(folder.glob("checkpoints/*")):
        return None
    attempts = [attempt for attempt in RunFolder(folder).refresh() if attempt.start["stage"] == stage]
    if not attempts or (attempts[-1].end and attempts[-1].end["status"] == "finished"):
        return None
    return attempts[-1].start["series"]


def _source_tag(run: Run, series: int | None) -> dict[str, str]:
    # An evaluation belongs to a series whose source is kept already.
    source = keep_source(run.id, home()) if series is None else None
    return {"source": source} if source else {}


def _how_it_ended(fault: BaseException) -> tuple[str, str | None]:
    """Status and last line of what left the block; leaving by `sys.exit(0)` is a good end."""
    if isinstance(fault, SystemExit) and not fault.code:
        return "finished", None
    interrupted = isinstance(fault, KeyboardInterrupt) or getattr(fault, "code", None) == EXIT_INTERRUPTED
    lines = f"{type(fault).__name__}: {fault}".strip().splitlines()
    return "interrupted" if interrupted else "failed", lines[-1]


def _write_status_file(run: Run, status: str, error: str | None) -> None:
    """Tell a wrapper how it ended: an exit code does not get through `dvc` as it was."""
    if file := os.environ.get("TRACKSTACK_STATUS_FILE"):
        partial = Path(f"{file}.partial")
        try:
            partial.write_text(json.dumps({"status": status, "reason": redact(error), "run": run.id}) + "\n")
            partial.replace(file)
        except OSError as fault:
            _warn(f"{file}: {fault.strerror}: whoever waits for it sees the exit code alone")


def series_of_model(run_id: str, model_folder: Path) -> int | None:
    """The series that trained this very model, so that an evaluation can join it; None when none is known here."""
    folder = home() / "runs" / run_id
    if not folder.exists():
        return None
    digest = digest_path(model_folder)
    for attempt in reversed(RunFolder(folder).refresh()):
        if any(record["kind"] == "model" and record["digest"] == digest for record in attempt.artifacts):
            return attempt.start["series"]
    return None


def _own_id(name: str, params: dict[str, Any]) -> str:
    """The id of a run outside the pipeline: equal name, parameters and script are the same run."""
    main = getattr(sys.modules["__main__"], "__file__", None)
    script = digest_file(Path(main)) if main and Path(main).exists() else None
    return "r" + digest_json([name, params, script])[:12]


def _copy(path: Path, kept: Path) -> None:
    """A file, or the files of a folder; OSError at the first that there is no room for."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        copy = kept / file.relative_to(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)


def _warn(what: str) -> None:
    print(f"warning: {what}", file=sys.stderr)
