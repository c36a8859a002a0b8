"""What a job does around DVC: deadline, stop file, requeue, and the repair of what a killed job has left.

    python -P -m trackstack.job [--pinned] [arguments of dvc repro]          (slurm/repro.sh does it)

Slurm's warning (USR1) and its TERM come here and become a stop file: the trainer looks at it, writes a checkpoint
and ends. DVC itself must outlive both signals, or the trainer goes on as an orphan; so it is started with them
ignored, and this process does not end before the trainer's lease is free.
"""

from __future__ import annotations

import collections
import dataclasses
import json
import os
import re
import resource
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from trackstack import UserError, describe_error, slurm
from trackstack.clones import cache_folder, experiment_command, experiment_name, git, pinned_clone, push_experiment
from trackstack.job_note import forget_job, mend, note_job
from trackstack.stopping import EXIT_INTERRUPTED
from trackstack.tracking.environment import home
from trackstack.tracking.lease import NOTE_FILE, is_live

STAGE_LINE = re.compile(r"Running stage '(.+)':")
RUN_LINE = re.compile(r"run (r[0-9a-f]{12})\b")
DVC = [sys.executable, "-P", "-m", "dvc"]


@dataclasses.dataclass
class Ended:
    """How a supervised command ended."""

    status: str
    """finished, interrupted or failed."""
    reason: str = ""
    run: str | None = None
    seconds: float = 0.0
    stages: dict[str, float] = dataclasses.field(default_factory=dict)
    """Seconds by stage."""


class Supervisor:
    """Runs one command after the other for a job, and turns the signals that the job gets into a stop file."""

    def __init__(self) -> None:
        self.job = slurm.job_name()
        life = os.environ.get("SLURM_RESTART_COUNT", "0") if self.job else str(os.getpid())
        self.folder = home() / "runs" / ".jobs" / f"{self.job or socket.gethostname()}.{life}"
        shutil.rmtree(self.folder, ignore_errors=True)
        self.folder.mkdir(parents=True)
        self.stop_file, self.status_file = self.folder / "stop", self.folder / "status.json"
        self.cancelled = False
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)

    @property
    def stopped(self) -> bool:
        """Whether no further command should be started."""
        return self.stop_file.exists()

    def run(self, command: list[str], cwd: Path, **environment: str) -> Ended:
        """Run a command to its end, its output passed on line by line."""
        self.status_file.unlink(missing_ok=True)
        self._wait_for_trainer(cwd, "which this job has started before it was requeued")
        started, stages = time.monotonic(), _StageClock()
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**os.environ, **self._contract(), **environment},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
            preexec_fn=_outlive_signals,
        )
        note_job(cwd, self.job, process.pid)
        last: collections.deque[str] = collections.deque(maxlen=50)
        for line in process.stdout or ():
            print(line, end="", flush=True)
            stages.see(line)
            last.append(line.strip())
        code = process.wait()
        self._wait_for_trainer(cwd, "whose dvc has gone")
        forget_job(cwd)
        ended = self._how_it_ended(code, list(last))
        return dataclasses.replace(ended, seconds=time.monotonic() - started, stages=stages.seconds())

    def requeue(self) -> bool:
        """Put this job back into the queue, unless a person has cancelled it."""
        if self.job is None:
            return False
        if self.cancelled:
            time_is_up = slurm.job_field(self.job, "Reason") == "TimeLimit"
            preempted = slurm.job_field(self.job, "PreemptTime") not in (None, "None")
            if not (time_is_up or preempted):
                return False
        return slurm.requeue(self.job)

    def _on_signal(self, number: int, _frame: Any) -> None:
        self.cancelled |= number != signal.SIGUSR1
        self.stop_file.touch()

    def _contract(self) -> dict[str, str]:
        names = {"TRACKSTACK_STOP_FILE": self.stop_file, "TRACKSTACK_STATUS_FILE": self.status_file}
        deadline = slurm.end_of_job(self.job) if self.job else None
        return {
            **{name: str(path) for name, path in names.items()},
            **({"TRACKSTACK_DEADLINE": str(deadline)} if deadline else {}),
        }

    def _wait_for_trainer(self, cwd: Path, why: str) -> None:
        """Wait while a trainer of this job is alive. It sees by itself that its dvc has gone, or Slurm kills it."""
        said = False
        while orphans := [folder for folder in _runs_written_from(cwd) if is_live(folder)]:
            if not said:
                print(f"waiting for {orphans[0].name}, {why}", flush=True)
            said = True
            time.sleep(0.2)

    def _how_it_ended(self, code: int, last: list[str]) -> Ended:
        try:
            told = json.loads(self.status_file.read_text())
        except (OSError, ValueError):
            told = {}
        run = next((match[1] for line in reversed(last) if (match := RUN_LINE.match(line))), told.get("run"))
        if code == 0:
            return Ended("finished", run=run)
        if told.get("status") in ("interrupted", "failed"):
            return Ended(told["status"], told.get("reason") or "", run)
        if self.stopped:
            return Ended("interrupted", "stopped before the training", run)
        return Ended("failed", _last_words(last, code), run)


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


def _runs_written_from(cwd: Path) -> list[Path]:
    """Run folders whose writer was started by this job in this folder."""
    found = []
    for note in (home() / "runs").glob(f"*/{NOTE_FILE}"):
        try:
            told = json.loads(note.read_text())
        except (OSError, ValueError):
            continue
        if told.get("job") == os.environ.get("SLURM_JOB_ID") and Path(told["folder"]).resolve() == cwd.resolve():
            found.append(note.parent)
    return found


def _last_words(last: list[str], code: int) -> str:
    """What a failed command said last, before DVC said that it failed."""
    if code < 0:
        return f"killed by {signal.Signals(-code).name}"
    words = [line for line in last if line and not line.startswith(("ERROR: failed to reproduce", "WARNING:"))]
    return words[-1].removeprefix("ERROR: ") if words else f"exit code {code}"


def repro(arguments: list[str]) -> Ended:
    """Reproduce in this checkout, after `trackstack check`; UserError when that objects."""
    from trackstack.check import check

    for line in mend(Path.cwd()):
        print(line, flush=True)
    pull_raw_data()
    for line in check():
        print(line, flush=True)
    supervisor = Supervisor()
    ended = supervisor.run([*DVC, "repro", *arguments], Path.cwd())
    return _after(supervisor, ended)


def repro_pinned(arguments: list[str]) -> Ended:
    """Reproduce the present commit in a clone of its own, and bring an experiment back."""
    origin, commit = Path.cwd(), git(Path.cwd(), "rev-parse", "HEAD")
    pull_raw_data()
    supervisor = Supervisor()
    name = experiment_name(f"pinned-{supervisor.job or 'local'}", [commit, *arguments])
    with pinned_clone(origin, commit, supervisor.folder / "clone", cache_folder(origin)) as clone:
        ended = supervisor.run([*experiment_command(name, []), *arguments], clone, TRACKSTACK_HOME=str(home()))
        if ended.status == "finished":
            push_experiment(clone, name)
            print(f"experiment {name}: dvc exp show; dvc exp apply {name}", flush=True)
    return _after(supervisor, ended)


def pull_raw_data() -> None:
    """Fetch the raw data that the tracked `.dvc` files point to, where it is not here yet."""
    pointers = git(Path.cwd(), "ls-files", "-z", "*.dvc").split("\0")
    absent = [pointer for pointer in filter(None, pointers) if not Path(pointer).with_suffix("").exists()]
    for pointer in absent:
        done = subprocess.run([*DVC, "pull", "--quiet", pointer], capture_output=True, text=True, check=False)
        if done.returncode:  # perhaps nobody needs it; `check` says when somebody does
            print(f"{pointer}: {' '.join(done.stderr.split())[:200]}", flush=True)


def _after(supervisor: Supervisor, ended: Ended) -> Ended:
    if ended.status == "interrupted":
        print(f"interrupted: {ended.reason}", flush=True)
        again = supervisor.requeue()
        print(f"{'requeued' if again else 'when it is started again'}: it goes on from its checkpoint", flush=True)
    return ended


def print_beginning() -> None:
    """Environment, device, and how to follow."""
    job = slurm.job_name()
    print(f"environment: {sys.prefix} (Python {sys.version.split()[0]}) on {socket.gethostname()}")
    print(f"device: {_device()}")
    if job:
        log = slurm.job_field(job, "StdOut")
        print(f"follow: tail -f {shlex.quote(log or '')}; squeue --jobs={job}; stop: scancel {job}", flush=True)


def _device() -> str:
    if shutil.which("nvidia-smi") and os.environ.get("CUDA_VISIBLE_DEVICES", "0") != "":
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout:
            return "; ".join(line.split(" (UUID")[0] for line in done.stdout.strip().splitlines())
    cores = len(os.sched_getaffinity(0))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"CPU, {cores} cores" + (f" (CUDA_VISIBLE_DEVICES={visible}, but no NVIDIA driver)" if visible else "")


def print_end(ended: Ended, metrics: bool = True) -> None:
    """Metrics, run, seconds per stage, memory and CPU used."""
    if metrics and ended.status == "finished":
        subprocess.run([*DVC, "metrics", "show"], stdin=subprocess.DEVNULL, check=False)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in ended.stages.items())
    print(f"run: {ended.run or 'nothing was trained'}")
    print(f"stages: {stages or 'none ran, all is up to date'}")
    print(f"used: {ended.seconds:.0f} s, {cpu:.0f} s of CPU, {used.ru_maxrss / 2**20:.1f} GiB in the largest process")
    print(f"{ended.status}{': ' + ended.reason if ended.reason else ''}", flush=True)


def main(arguments: list[str]) -> int:
    """Exit code 0 when finished, 75 when interrupted, else 1."""
    try:
        print_beginning()
        pinned = "--pinned" in arguments
        ended = (repro_pinned if pinned else repro)([one for one in arguments if one != "--pinned"])
        print_end(ended)
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1
    return {"finished": 0, "interrupted": EXIT_INTERRUPTED}.get(ended.status, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
