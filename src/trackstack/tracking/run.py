"""The run of a training or an evaluation, as its own process sees it: `log`, and leave the rest to the journal.

with start_run("my-model", {"lr": 0.1}) as run:
    run.log({"train_loss": 0.5}, step=0)

Where a block is in the way: `run = start_run(...)`, and `run.finish()` at the end.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_path
from trackstack.core.files import remove
from trackstack.system.group import share_with_group
from trackstack.system.lease import give_back_lease, keep_lease, take_lease
from trackstack.system.redaction import redact
from trackstack.system.signals import SignalWatch, collect
from trackstack.system.stopping import EXIT_INTERRUPTED, Interrupted, needs_room
from trackstack.tracking.delivery.keeper import Keeper, longest_wait, wait_for_delivery
from trackstack.tracking.environment import home
from trackstack.tracking.journal import UNFINISHED, PatientJournal, now, warn
from trackstack.tracking.monitor import Monitor
from trackstack.tracking.script.artifacts import copy_artifact
from trackstack.tracking.script.claims import claimed, release
from trackstack.tracking.script.ending import (
    check_status,
    how_it_ended,
    how_the_process_ended,
    how_to_say_otherwise,
    last_fault,
    write_status_file,
)
from trackstack.tracking.script.identity import late_modules, own_id
from trackstack.tracking.script.one_line import show_mistakes_in_one_line
from trackstack.tracking.script.rungs import watch_rungs
from trackstack.tracking.script.start_record import source_tag, start_record, warn_of_other_places
from trackstack.tracking.script.values import (
    artifact_path,
    check_name,
    described_data,
    metrics,
    plain_params,
    step_number,
)
from trackstack.tracking.series import Earlier, earlier_attempts


class Run:
    """A run that is being recorded. Made by `start_run`."""

    def __init__(self, folder: Path, named_by_script: bool):
        self.id = folder.name
        self.folder = folder
        self._journal = PatientJournal(folder)
        self.attempt = self._journal.attempt
        self.status: str | None = None
        """How it ended; None while it is recorded."""
        self._named_by_script = named_by_script
        self._pid, self._signals, self._fault_before = os.getpid(), SignalWatch(), last_fault()
        self._last_steps: dict[str, int] | None = {}
        self.at_end = contextlib.ExitStack()
        """What is left when the run ends, before its end is recorded."""

    def log(self, values: dict[str, float], step: int) -> None:
        """Record metrics at a step: some microseconds, and never a wait for a back end.

        Args:
            values: numbers, also NumPy's and torch's; of a metric each step counts once.

        Raises:
            UserError: a value is not one number, or the run has ended.
        """
        self._log(values, step, is_new=True)

    def log_again(self, values: dict[str, float], step: int) -> None:
        """Record as `log` does what an attempt that was interrupted had logged, and its checkpoint has kept."""
        self._log(values, step, is_new=False)

    def _log(self, values: dict[str, float], step: int, is_new: bool) -> None:
        values, step = metrics(values), step_number(step)
        self._refuse_after_end("log")
        if self._undecided:
            self._join_or_begin_anew(step, self._undecided)
        if self._last_steps is not None:
            self._look_at_steps(values, step)
        self._journal.write({"type": "metrics", "time": now(), "step": step, "values": values})
        self._at_rung(values, step, is_new)

    def log_artifact(
        self, path: Path | str, kind: str = "file", loader: str | None = None, exporter: str | None = None
    ) -> None:
        """Record a file or a folder, and keep a copy in the run's folder for the back ends.

        Args:
            kind: model, report, plot or file.
            loader: of a model: `module:function` that returns a model and an example input for its path.
            exporter: of a model: `module:function` that is called with MLflow's folder of the exported model, and its
                own path, to add what people load it with.

        Raises:
            UserError: there is no such file, no such kind, or the run has ended.
        """
        path = artifact_path(path, kind)
        self._refuse_after_end("log_artifact")
        kept = self.folder / "artifacts" / f"{self.attempt}" / path.name
        try:
            copy_artifact(path, kept)
        except OSError as error:
            remove(kept)
            warn(f"{kept}: {error.strerror}: back ends do without this {kind}; {path} itself is whole")
        record = {"type": "artifact", "time": now(), "kind": kind, "path": str(kept.relative_to(self.folder))}
        how = {"loader": loader, "exporter": exporter}
        self._journal.write(record | {"name": path.name, "digest": digest_path(path)} | how)

    @property
    def params(self) -> dict[str, Any]:
        """What `start_run` was given."""
        return self._start["params"]

    @property
    def series(self) -> int:
        """The first of the attempts that it goes on from, or itself."""
        return self._start["series"]

    def flush(self) -> None:
        """Return when everything logged so far is on disk: at the end of an epoch.

        Raises:
            UserError: another process has become the writer of this run.
        """
        keep_lease(self.folder)
        self._journal.flush()

    def finish(self, status: str | None = None) -> None:
        """End the record, where no `with` does.

        Args:
            status: finished, interrupted, paused, pruned or failed; by default finished, unless something asked this
                process to end meanwhile: then interrupted.

        Raises:
            UserError: it has ended before, or there is no such status.
        """
        check_status(status)
        self._refuse_after_end("finish")
        if status:
            self._finish(status, None)
        else:
            self._finish_unasked()

    def __enter__(self) -> Run:
        self._refuse_after_end("__enter__")
        return self

    def __exit__(self, _: type[BaseException] | None, fault: BaseException | None, __: TracebackType | None) -> None:
        if self.status:
            return
        if fault is None:
            self._finish_unasked()
            if self.status in UNFINISHED and "DVC_STAGE" in os.environ:
                raise Interrupted(self._signals.reason() or "")  # else DVC would keep what there is as the result
            return
        self._finish(*how_it_ended(fault, self._signals.reason()))
        if self.status in UNFINISHED and isinstance(fault, SystemExit):
            fault.code = fault.code or EXIT_INTERRUPTED  # a framework may leave by a good end

    def _begin(self, start: dict[str, Any], earlier: Earlier | None) -> None:
        self._start, self._undecided = start, earlier
        if earlier and earlier.first_step is None:
            self._join_or_begin_anew(0, earlier)
        self._journal.begin(start)
        self._at_rung = watch_rungs(start["stage"])
        self._signals.start()
        self._patience = longest_wait()
        self._keeper = Keeper(home(), self.id, self.attempt) if start["destinations"] else None
        self._monitor = Monitor(self._log_system)
        atexit.register(self._at_exit)

    def _log_system(self, values: dict[str, float]) -> None:
        collect()  # before the pipe is full
        if not self._undecided:  # else it may yet turn out to be of another series
            self._journal.write({"type": "system", "time": now(), "values": values})

    def _join_or_begin_anew(self, step: int, earlier: Earlier) -> None:
        """By its first step, if that decides: go on from the attempts before it, or be a run of its own."""
        self._undecided = None
        if earlier.first_step is None or step > earlier.first_step:
            warn_of_other_places(self._start, earlier)
        else:
            own_tags = self._start["tags"] | source_tag(self.id)
            self._start = self._start | {"series": self.attempt, "tags": own_tags}
            self._journal.write(self._start)

    def _look_at_steps(self, values: dict[str, float], step: int) -> None:
        """Say it, once, when a metric does not go forward."""
        known = self._last_steps or {}
        for name in values:
            if step <= (last := known.get(name, step - 1)):
                warn(f"run.log: {name} at step {step} comes after step {last}; of each step the first value counts")
                self._last_steps = None
                return
        known.update(dict.fromkeys(values, step))
        self._last_steps = known

    def _refuse_after_end(self, what: str) -> None:
        if self.status:
            raise UserError(
                f"run.{what}: run {self.id} has ended ({self.status}); trackstack.start_run begins another"
            )

    def _finish_unasked(self) -> None:
        reason = self._signals.reason()
        if reason or self._signals.is_deaf():
            warn(f"run {self.id}: {how_to_say_otherwise(reason)}")
        self._finish(*how_it_ended(None, reason))

    def _at_exit(self) -> None:
        status, error = how_the_process_ended(self._signals.reason(), self._fault_before)
        if os.getpid() == self._pid:
            warn(f"run {self.id}: run.finish() was not called; it is recorded as {status}")
        self._finish(status, error)

    def _finish(self, status: str, error: str | None) -> None:
        """Record how it ended, and let the points go out; in a forked process it is not over."""
        if os.getpid() != self._pid:
            return
        self.at_end.close()
        self._signals.is_ending, self.status = True, status
        atexit.unregister(self._at_exit)
        release(self.folder)
        end = {"type": "end", "time": now(), "status": status, "error": redact(error)}
        self._journal.write(end | {"usage": self._monitor.stop()})
        self._journal.close()
        if self._keeper:
            self._keeper.end()
        if status == "finished" and self._start["stage"] == "run":
            shutil.rmtree(self.folder / "checkpoints", ignore_errors=True)
        give_back_lease(self.folder)
        if problem := write_status_file(self.id, status, error):
            warn(problem)
        if self._named_by_script and (late := late_modules()):
            names = ", ".join(late[:3]) + (f" and {len(late) - 3} more" if len(late) > 3 else "")
            warn(f"{names}: imported after start_run, so an edit does not change the run's id; import it before")
        self._signals.stop()
        # Whoever interrupts does not want to wait: the deliverer goes on, or sync does.
        if self._keeper and status not in UNFINISHED:
            elsewhere = home().resolve() != Path.cwd().resolve()
            wait_for_delivery(self._keeper, self.folder, self.attempt, self._patience, whole=elsewhere)


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
) -> Run:
    """Record what happens in the block, or until `finish`, as a run.

    Args:
        name: readable; MLFLOW_RUN_NAME and the name of a DVC experiment take its place.
        params: whatever decides the result, as JSON values; equal name, parameters, data and code of the script are
            the same run.
        run_id: the id, where somebody else computes it.
        stage: what part of a run this is; `evaluate` reports into the run of its model.
        series: the attempt that this one belongs to; by default one that did not finish, which it goes on from, or
            else its own.
        data: the dataset version: name, version, path, num_samples, description, digests.
        extra_tags: added to commit, experiment and job.
        device: of the computation, for the environment.

    Raises:
        UserError: another process is at work on this run, or something given is not what is expected.
        Interrupted: there is no room to begin a record.
    """
    show_mistakes_in_one_line()
    name, params, data = check_name(name), plain_params(params), described_data(data)
    longest_wait()
    folder = home() / "runs" / (run_id or own_id(name, params, data))
    given = {"stage": stage, "name": name, "params": params, "data": data}
    with claimed(folder), needs_room():
        share_with_group(home())
        take_lease(folder)
        earlier = Earlier(series, {}) if series else earlier_attempts(folder, stage)
        run = Run(folder, named_by_script=not run_id)
        start = start_record(run.id, run.attempt, earlier, given, extra_tags, device)
        run._begin(start, earlier)
    return run
