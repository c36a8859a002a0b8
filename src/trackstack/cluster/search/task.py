"""The work of a search, in a job or in a process of its own: one trial after the other, while there is any.

    python -P -m trackstack.cluster.search.task FOLDER                    (in a job)
    python -P -m trackstack.cluster.search.task FOLDER NAME PID           (a worker of the command with this PID)

It runs the code of the sweep's base clone, so that an edit of the checkout changes no trial.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from pathlib import Path

import psutil

from trackstack import UserError, describe_error
from trackstack.cluster.jobs import print_beginning
from trackstack.cluster.search import Search, load_search
from trackstack.cluster.search.figures import is_recorded, last_step, read_figures
from trackstack.cluster.search.log import Event, opened
from trackstack.cluster.search.rungs import variables
from trackstack.cluster.search.units import Unit, is_due, take_unit, workers
from trackstack.cluster.supervisor import KILLED, JobResult, Supervisor
from trackstack.cluster.sweep import TrialStatus
from trackstack.cluster.sweep.task import run_trial
from trackstack.system.git import try_git
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.programs import begin_process
from trackstack.system.room import outlive_full_log, says_no_room

MOST_STARTS = 5
"""Starts of a unit, none of which got further than the one before: then its trial has failed."""
LOST_WORKER_SECONDS = 60.0
"""For a worker that has just begun, and finds that its command was killed."""


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
    result = JobResult("finished")
    if not _has_experiment(search, name):  # else a kill came before the log had it
        result = _train(search, unit, supervisor)
    if result.status == "finished" and result.run is None and not is_recorded(search, name):
        print("DVC had it in its cache of runs, and nobody has its record: once more", flush=True)
        result = _train(search, unit, supervisor, "--no-run-cache")
    if result.status == "failed" and result.reason == KILLED:  # by whatever: once more, but not for ever
        result.status = "interrupted"
    result = _settle(search, unit, result)
    status.state, status.reason, status.run = result.status, result.reason, result.run
    status.seconds = round(before.seconds + result.seconds, 1)
    if result.status != "interrupted" or supervisor.stop_file.exists() or says_no_room(result.reason):
        status.attempts = 0
    sweep.write(name, status)
    return result


def _train(search: Search, unit: Unit, supervisor: Supervisor, *arguments: str) -> JobResult:
    return supervisor.carry_out(
        lambda: run_trial(search.sweep, unit.run, supervisor, arguments), around="interrupted"
    )


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


def _has_experiment(search: Search, name: str) -> bool:
    commit = search.sweep.commit
    ref = f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"
    return try_git(search.sweep.origin, "rev-parse", "--verify", "--quiet", ref) is not None


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


def main(arguments: list[str]) -> int:
    """Exit code 0 when nothing is left to do, 75 when interrupted, else 1."""
    begin_process()
    gc.set_threshold(100_000, 20, 20)  # of ten thousand trials Optuna makes millions of objects, and none is garbage
    folder, *of_command = arguments
    search = load_search(Path(folder))
    starter = int(of_command[1]) if of_command else os.getppid()
    os.environ |= {"TRACKSTACK_HOME": str(search.sweep.folder.parents[2]), "TRACKSTACK_SWEEP": search.name}
    try:
        if of_command:
            take_lease(workers(search) / of_command[0], f"search {search.name}", LOST_WORKER_SECONDS)
        print_beginning()
        with Supervisor() as supervisor:
            result = work(search, supervisor, starter)
            if result.status == "interrupted" and supervisor.requeue(result):
                print("requeued: it goes on with what is due", flush=True)
            return result.exit_code
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1


if __name__ == "__main__":
    outlive_full_log()
    sys.exit(main(sys.argv[1:]))
