"""Run `dvc` for a job: the signals that the job gets become a stop file, which a training looks at.

Slurm's warning (USR1) and its TERM come here: the training sees the stop file, writes a checkpoint and ends. DVC
itself must outlive both signals, or the training goes on as an orphan; so it is started with them ignored, and this
process does not end before the training's lease is free.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackstack import UserError, describe_error
from trackstack.cluster.clones import own_code
from trackstack.cluster.stale_job import forget_job, note_job
from trackstack.core.dvc_yaml import dvc_root
from trackstack.system import slurm
from trackstack.system.lease import NOTE_FILE, is_live
from trackstack.system.programs import BYTES_SURVIVE
from trackstack.system.redaction import redact_uris
from trackstack.system.room import says_no_room
from trackstack.system.stopping import EXIT_INTERRUPTED
from trackstack.tracking.environment import home
from trackstack.tracking.journal import UNFINISHED

STAGE_LINE = re.compile(r"Running stage '(.+)':")
RUN_LINE = re.compile(r"run (r[0-9a-f]{12})\b")
FAULT_OF_DVC = re.compile(r"ERROR: failed to reproduce '[^']+': (?!failed to run: )(.+)")
KILLED_STAGE = re.compile(r"ERROR: failed to reproduce '[^']+': failed to run: .*, exited with (-9|137)$")
KILLED = "killed by SIGKILL"
LOST_ENTRY = re.compile(r"\[Errno 2\].*/runs/[0-9a-f]{2}/[0-9a-f]{64}/\.[\w-]+\.tmp'")
"""DVC lists its run cache without a lock: what another `dvc` is writing there it takes for damaged, and deletes."""
MOST_TRIES = 5


@dataclasses.dataclass
class JobResult:
    """How a supervised command ended."""

    status: str
    """finished, interrupted, paused or failed."""
    reason: str = ""
    run: str | None = None
    seconds: float = 0.0
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    """Seconds by stage."""

    @property
    def exit_code(self) -> int:
        """0 when finished, 75 when interrupted, else 1."""
        return {"finished": 0, "interrupted": EXIT_INTERRUPTED}.get(self.status, 1)


class Supervisor:
    """Runs one command after the other for a job, and turns the signals that the job gets into a stop file."""

    def __init__(self) -> None:
        self.job = slurm.job_name()
        self.folder = home() / "runs" / ".jobs" / (self.job or f"{socket.gethostname()}.{os.getpid()}")
        self.stop_file, self.status_file = self.folder / "stop", self.folder / "status.json"
        self.cancelled = False
        self._process: subprocess.Popen[str] | None = None

    def __enter__(self) -> Supervisor:
        shutil.rmtree(self.folder, ignore_errors=True)  # an earlier life's
        self.folder.mkdir(parents=True)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, command: list[str], cwd: Path, **environment: str) -> JobResult:
        """Run a command to its end, its output passed on line by line; again where another `dvc` was in its way."""
        for _ in range(MOST_TRIES):
            result = self._run_once(command, cwd, environment)
            if result.status != "failed" or not LOST_ENTRY.search(result.reason):
                break
            print("again: another dvc has deleted what this one was writing to the run cache", flush=True)
        return result

    def _run_once(self, command: list[str], cwd: Path, environment: dict[str, str]) -> JobResult:
        self._wait_for_training(cwd, "which this job has started before it was requeued")
        if self.stop_file.exists():
            return JobResult("interrupted", "stopped before it began")
        self.status_file.unlink(missing_ok=True)
        started, stages = time.monotonic(), _StageClock()
        process = self._process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **own_code(cwd), **self._contract(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors=BYTES_SURVIVE,
            start_new_session=True,
            preexec_fn=_outlive_signals,
        )
        with contextlib.suppress(OSError):  # it is for the next job to mend by; without it a person types repair
            note_job(cwd, self.job, process.pid)
        last: collections.deque[str] = collections.deque(maxlen=50)
        for line in map(redact_uris, process.stdout or ()):
            print(line, end="", flush=True)
            stages.see(line)
            last.append(line.strip())
        code, self._process = process.wait(), None
        self._wait_for_training(cwd, "whose dvc has gone")
        seconds = stages.seconds()
        result = self._how_it_ended(code, list(last), next(reversed(seconds), None))
        if not says_no_room(result.reason):  # else its dvc.lock may be cut short, as by a kill
            forget_job(cwd)
        return dataclasses.replace(result, seconds=time.monotonic() - started, stages=seconds)

    def carry_out(self, work: Callable[[], JobResult], around: str = "failed") -> JobResult:
        """Do some work; what goes wrong once the job was asked to stop was interrupted, since Slurm signals all.

        Args:
            around: the status when what goes wrong is not a command of the work, but what we do around it.
        """
        try:
            return work()
        except (UserError, OSError) as error:
            reason = describe_error(error)
            return JobResult("interrupted" if self.stop_file.exists() or says_no_room(reason) else around, reason)

    def requeue(self, result: JobResult) -> bool:
        """Put this job back into the queue, unless a person has cancelled it, or has to make room first."""
        if self.job is None or says_no_room(result.reason):
            return False
        if self.cancelled:
            time_is_up = slurm.job_field(self.job, "Reason") == "TimeLimit"
            preempted = slurm.job_field(self.job, "PreemptTime") not in (None, "None")
            if not (time_is_up or preempted):
                return False
        return slurm.requeue(self.job)

    def _on_signal(self, number: int, _frame: Any) -> None:
        if number == signal.SIGINT and self.stop_file.exists() and self._process:
            # A person insists: a stage that looks at no stop file ends by this, too.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGINT)
        self.cancelled |= number != signal.SIGUSR1
        with contextlib.suppress(OSError):  # all is over, or the disk is full
            self.stop_file.touch()

    def _contract(self) -> dict[str, str]:
        """What `trackstack.Stop` and a run's record look at in the command's environment."""
        deadline = slurm.end_of_job(self.job) if self.job else None
        return {
            "TRACKSTACK_STOP_FILE": str(self.stop_file),
            "TRACKSTACK_STATUS_FILE": str(self.status_file),
            "TRACKSTACK_SUPERVISOR": f"{socket.gethostname()}:{os.getpid()}",
            **({"TRACKSTACK_DEADLINE": str(deadline)} if deadline else {}),
        }

    def _wait_for_training(self, cwd: Path, why: str) -> None:
        """Wait while a training of this job is alive. It sees by itself that its dvc has gone, or Slurm kills it."""
        is_first = True
        while orphans := [folder for folder in _runs_written_from(cwd) if is_live(folder)]:
            if is_first:
                print(f"waiting for {orphans[0].name}, {why}", flush=True)
            is_first = False
            time.sleep(0.2)

    def _how_it_ended(self, code: int, last: list[str], stage: str | None) -> JobResult:
        try:
            recorded = json.loads(self.status_file.read_bytes())
        except (OSError, ValueError):
            recorded = {}
        run = next((match[1] for line in reversed(last) if (match := RUN_LINE.match(line))), recorded.get("run"))
        if code == 0:
            return JobResult("finished", run=run)
        if recorded.get("status") in (*UNFINISHED, "failed"):
            reason = recorded.get("reason") or ""
            return JobResult("interrupted" if says_no_room(reason) else recorded["status"], reason, run)
        if self.stop_file.exists():
            return JobResult("interrupted", f"stopped in stage {stage}" if stage else "stopped before a stage", run)
        if full := next((line for line in reversed(last) if says_no_room(line)), None):
            return JobResult("interrupted", full.removeprefix("ERROR: "), run)
        return JobResult("failed", _last_words(last, code), run)


class _StageClock:
    """Seconds per stage, from DVC's own lines."""

    def __init__(self) -> None:
        self._starts: list[tuple[str, float]] = []

    def see(self, line: str) -> None:
        if match := STAGE_LINE.match(line):
            self._starts.append((match[1], time.monotonic()))

    def seconds(self) -> dict[str, float]:
        ends = [start for _, start in self._starts[1:]] + [time.monotonic()]
        return {name: round(end - start, 1) for (name, start), end in zip(self._starts, ends, strict=False)}


def _outlive_signals() -> None:
    for number in (signal.SIGTERM, signal.SIGUSR1):
        signal.signal(number, signal.SIG_IGN)


def _runs_written_from(checkout: Path) -> list[Path]:
    """Run folders whose writer was started by this job in this checkout, in whatever folder its stage works."""
    folders = []
    for file in (home() / "runs").glob(f"*/{NOTE_FILE}"):
        try:
            writer = json.loads(file.read_bytes())
            started_here = dvc_root(Path(writer["folder"]).resolve()) == checkout.resolve()
        except (OSError, KeyError, TypeError, ValueError):  # damaged, or given back just now
            continue
        if started_here and writer.get("job") == os.environ.get("SLURM_JOB_ID"):
            folders.append(file.parent)
    return folders


def _last_words(last: list[str], code: int) -> str:
    """What a failed command said last, before DVC said that it failed; or what DVC itself could not do."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    if any(map(KILLED_STAGE.match, last)):
        return KILLED
    if own := next((match[1] for line in reversed(last) if (match := FAULT_OF_DVC.match(line))), None):
        return own
    words = [line for line in last if line and not line.startswith(("ERROR: failed to reproduce", "WARNING:"))]
    return words[-1].removeprefix("ERROR: ") if words else f"exit code {code}"
