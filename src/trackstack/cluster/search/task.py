"""The work of a task of a search: one trial after the other, while there is any; started by `cluster.sweep.task`."""

from __future__ import annotations

import contextlib
import gc
import os
import threading
import time
from pathlib import Path

import psutil

from trackstack import UserError
from trackstack.cluster.search import Search, load_search
from trackstack.cluster.search.figures import is_recorded, last_step, read_figures
from trackstack.cluster.search.log import Event, opened
from trackstack.cluster.search.rungs import variables
from trackstack.cluster.search.units import Unit, is_due, take_unit, workers
from trackstack.cluster.supervisor import KILLED, JobResult, Supervisor
from trackstack.cluster.sweep import TrialStatus
from trackstack.cluster.sweep.task import run_trial
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.room import says_no_room

MOST_STARTS = 5
"""Starts of a unit, none of which got further than the one before: then its trial has failed."""
LOST_WORKER_SECONDS = 60.0
"""For a worker that has just begun, and finds that its command was killed."""


def take_part(folder: Path, of_command: list[str], supervisor: Supervisor) -> JobResult:
    """Work on the search in a folder; interrupted, let Slurm start this task again.

    Args:
        of_command: the name of this worker, and the process of the command that it works for; empty in a job.
    """
    gc.set_threshold(100_000, 20, 20)  # of ten thousand trials Optuna makes millions of objects, and none is garbage
    search, starter = load_search(folder), os.getppid()
    if of_command:
        name, starter = of_command[0], int(of_command[1])
        take_lease(workers(search) / name, f"search {search.name}", LOST_WORKER_SECONDS)
    result = work(search, supervisor, starter)
    if result.status == "interrupted" and supervisor.requeue(result):
        print("requeued: it goes on with what is due", flush=True)
    return result


def work(search: Search, supervisor: Supervisor, starter: int) -> JobResult:
    """Take units and work on them, until nothing is due, this process is asked to stop, or nobody waits for it.

    Args:
        starter: the process without which nobody waits: the command, typed again, has workers of its own.
    """
    threading.Thread(target=_stop_without, args=(starter, supervisor), daemon=True).start()
    while not supervisor.stop_file.exists() and os.getppid() == starter:
        unit = take_unit(search)
        if unit is None:
            return JobResult("finished")
        try:
            result = work_on(search, unit, supervisor)
        finally:
            give_back_lease(unit.folder)
        print(f"{unit.run.name}: {result.status} {result.reason}".rstrip(), flush=True)
        if result.status == "interrupted" and result.reason != KILLED:
            return result
    return JobResult("interrupted", "stopped between two trials")


def _stop_without(starter: int, supervisor: Supervisor) -> None:
    """Ask the training for a checkpoint and an end once the starter is gone."""
    while os.getppid() == starter:
        time.sleep(0.2)
    with contextlib.suppress(OSError):  # all is over
        supervisor.stop_file.touch()


def work_on(search: Search, unit: Unit, supervisor: Supervisor) -> JobResult:
    """Bring a unit as far as it is to go, and write to the log what came of it."""
    sweep, name = search.sweep, unit.run.name
    before = sweep.status(name)
    step = last_step(name) if before.attempts else -1
    attempts = before.attempts if step <= before.step else 0
    if attempts >= MOST_STARTS:
        reason = f"started {attempts} times, each time cut short: {before.reason or 'killed'}"
        return _settle(search, unit, JobResult("failed", reason))
    of_trial = variables(sweep.folder, unit.trial, unit.member)
    _wait_for_lost_processes(sweep.folder / "work" / name, of_trial)
    if not is_due(search, unit):
        return JobResult("paused", "a process that had lost its task got that far")
    status = TrialStatus("running", attempts=attempts + 1, job=supervisor.job, step=step)
    sweep.write(name, status)
    os.environ |= of_trial
    result = _train(search, unit, supervisor)
    if result.status == "finished" and result.run is None and not is_recorded(search, name):
        print("DVC had it in its cache of runs, and nobody has its record: once more", flush=True)
        result = _train(search, unit, supervisor, once_more=True)
    if result.status == "failed" and result.reason == KILLED:  # by whatever: once more, but not for ever
        result.status = "interrupted"
    result = _settle(search, unit, result)
    status.state, status.reason, status.run = result.status, result.reason, result.run
    status.seconds = round(before.seconds + result.seconds, 1)
    if result.status != "interrupted" or supervisor.stop_file.exists() or says_no_room(result.reason):
        status.attempts = 0
    sweep.write(name, status)
    return result


def _train(search: Search, unit: Unit, supervisor: Supervisor, once_more: bool = False) -> JobResult:
    def work() -> JobResult:
        if not once_more and unit.run.name in search.sweep.finished():  # a kill came before the log had it
            return JobResult("finished")
        return run_trial(search.sweep, unit.run, supervisor, ["--no-run-cache"] if once_more else [])

    return supervisor.carry_out(work, around="interrupted")


def _settle(search: Search, unit: Unit, result: JobResult) -> JobResult:
    """Write down what came of a unit's work."""
    place = {"trial": unit.trial, "member": unit.member}
    events: list[Event] = [{"event": "spent", **place, "hours": round(result.seconds * _num_gpus() / 3600, 6)}]
    if result.status == "finished":
        try:
            figures = read_figures(search, unit.run.name, result.run)
            events.append({"event": "end", **place, **figures._asdict()})
        except UserError as error:
            result = JobResult("failed", str(error), result.run, result.seconds)
    if result.status == "failed":
        events.append({"event": "fail", **place, "reason": result.reason[:300]})
    with opened(search.log) as log:
        log.append(*events)
    return result


def _wait_for_lost_processes(clone: Path, of_trial: dict[str, str]) -> None:
    """What a killed task has left at work in its clone sees that by itself, and ends with a checkpoint."""
    is_first = True
    while processes := [process for process in psutil.process_iter(["cwd"]) if _is_lost(process, clone, of_trial)]:
        if is_first:
            print(f"waiting for process {processes[0].pid}, whose task was killed", flush=True)
        is_first = False
        time.sleep(0.2)


def _is_lost(process: psutil.Process, clone: Path, of_trial: dict[str, str]) -> bool:
    """Whether a task has started it for this trial; somebody's shell may stand in the clone, too."""
    folder = process.info["cwd"]
    if not folder or not Path(folder).is_relative_to(clone):
        return False
    try:
        return of_trial.items() <= process.environ().items()
    except psutil.Error:  # it has ended, or is another person's
        return False


def _num_gpus() -> int:
    """Of this task; a computation without any counts as one, so that a budget holds on CPUs, too."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return max(1, len([device for device in visible.split(",") if device.strip()]))
