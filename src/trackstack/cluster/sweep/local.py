"""The tasks of a sweep or a search as processes on this machine, some at a time."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trackstack import UserError, describe_error
from trackstack.cluster.clones import own_code
from trackstack.cluster.sweep import SHARED, Sweep, Trial

TASK = [sys.executable, "-P", "-m", "trackstack.cluster.sweep.task"]
Report = Callable[[str], None]


def run_locally(sweep: Sweep, trials: list[Trial], jobs: int, report: Report) -> None:
    """Run a sweep on this machine; see `run_tasks`."""
    names = [trial.name for trial in trials]
    sweep.forget(names)
    commands = {name: [*TASK, str(sweep.folder), "trials", name] for name in names}
    run_tasks(sweep, commands, jobs, lambda name: report(_how_it_went(sweep, name)), report)


def run_tasks(
    sweep: Sweep,
    commands: dict[str, list[str]],
    jobs: int,
    ended: Report,
    report: Report,
    each_turn: Callable[[], None] = lambda: None,
) -> None:
    """Make what the trials share, then run tasks, `jobs` at a time. Ctrl-C lets each of them write its checkpoint.

    Args:
        commands: of each task, by its name.
        ended: is told the name of each task that has ended.
        each_turn: is called again and again meanwhile.

    Raises:
        UserError: what the trials share could not be made.
    """
    shared = {SHARED: [*TASK, str(sweep.folder), SHARED]}
    sweep.forget(shared)
    report(f"{', '.join(sweep.shared) or 'raw data'}: follow {log_file(sweep, SHARED)}")
    with _requests_to_stop() as stops:
        _run_side_by_side(sweep, shared, 1, lambda name: report(_how_it_went(sweep, name)), stops, report)
        if not stops and sweep.status(SHARED).state != "finished":
            raise UserError(f"what the trials share is not done; the log: {log_file(sweep, SHARED)}")
        _run_side_by_side(sweep, commands, jobs, ended, stops, report, each_turn)


@contextlib.contextmanager
def _requests_to_stop() -> Iterator[list[int]]:
    """Yield the list of the SIGINT and SIGTERM that come during the block, none of which ends this process."""
    stops: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: stops.append(number)) for number in signals]
    try:
        yield stops
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _run_side_by_side(
    sweep: Sweep,
    commands: dict[str, list[str]],
    jobs: int,
    ended: Report,
    stops: list[int],
    report: Report,
    each_turn: Callable[[], None] = lambda: None,
) -> None:
    """Run tasks until all have ended; when `stops` is no longer empty, ask them to end, and start no more."""
    waiting, running, num_asked = list(commands), dict[str, subprocess.Popen](), 0
    while running or (waiting and not stops):
        asked = len(stops)  # once, so that what is pressed in this turn is handed on in the next
        while waiting and len(running) < jobs and not stops:
            name = waiting.pop(0)
            try:
                running[name] = _start_task(sweep, name, commands[name])
            except OSError as error:  # others are at work, and are waited for
                report(f"{name}: not started: {describe_error(error)}")
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                ended(name)
            elif asked > num_asked:
                process.send_signal(signal.SIGINT if num_asked else signal.SIGTERM)
        if asked > num_asked == 0:
            report("stopping; Ctrl-C again ends stages that do not stop by themselves")
        each_turn()
        # Of two signals that wait, Python handles SIGINT first: the first has to have been seen before the second.
        time.sleep(1 if asked > num_asked else 0.1)
        num_asked = asked


def log_file(sweep: Sweep, name: str) -> Path:
    """What a task on this machine prints."""
    return sweep.folder / "logs" / f"{name}.log"


def _start_task(sweep: Sweep, name: str, command: list[str]) -> subprocess.Popen:
    """Start a task in the base clone, whose code it runs; its output goes to its `log_file`."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    log_file(sweep, name).parent.mkdir(exist_ok=True)
    with log_file(sweep, name).open("w") as file:
        return subprocess.Popen(
            command,
            cwd=sweep.base,
            env=environment | own_code(sweep.base),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for us to hand on
        )


def _how_it_went(sweep: Sweep, name: str) -> str:
    status = sweep.status(name)
    if status.state in ("waiting", "running"):  # it was killed, or had no room to write it down
        status.state, status.reason = "interrupted", f"see {log_file(sweep, name)}"
    return f"{name}: {status.state} {status.reason}".rstrip() + f", {status.seconds:.0f} s"
