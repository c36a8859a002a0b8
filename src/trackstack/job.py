"""What a job does around DVC: deadline, stop file, requeue, and the repair of what a killed job has left.

    python -P -m trackstack.job [--pinned] [arguments of dvc repro]          (slurm/repro.sh does it)

Slurm's warning (USR1) and its TERM come here and become a stop file: the trainer looks at it, writes a checkpoint
and ends. DVC itself must outlive both signals, or the trainer goes on as an orphan; so it is started with them
ignored, and this process does not end before the trainer's lease is free.
"""

from __future__ import annotations

import collections
import contextlib
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
from collections.abc import Callable
from pathlib import Path
from typing import Any

from trackstack import UserError, describe_error, slurm
from trackstack.clones import (
    DVC,
    cache_folder,
    experiment_command,
    experiment_name,
    git,
    pinned_clone,
    push_experiment,
)
from trackstack.job_note import forget_job, mend, note_job
from trackstack.stopping import EXIT_INTERRUPTED
from trackstack.tracking.environment import home
from trackstack.tracking.lease import NOTE_FILE, is_live

STAGE_LINE = re.compile(r"Running stage '(.+)':")
RUN_LINE = re.compile(r"run (r[0-9a-f]{12})\b")


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

    def __enter__(self) -> Supervisor:
        shutil.rmtree(self.folder, ignore_errors=True)  # an earlier life's
        self.folder.mkdir(parents=True)
        for number in (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)

    def run(self, command: list[str], cwd: Path, **environment: str) -> Ended:
        """Run a command to its end, its output passed on line by line."""
        self._wait_for_trainer(cwd, "which this job has started before it was requeued")
        if self.stop_file.exists():
            return Ended("interrupted", "stopped before it began")
        self.status_file.unlink(missing_ok=True)
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

    def carry_out(self, work: Callable[[], Ended]) -> Ended:
        """Do some work; what goes wrong once the job was asked to stop was interrupted, since Slurm signals all."""
        try:
            return work()
        except (UserError, OSError) as error:
            return Ended("interrupted" if self.stop_file.exists() else "failed", describe_error(error))

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
        with contextlib.suppress(FileNotFoundError):  # all is over
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
        if self.stop_file.exists():
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


def repro(supervisor: Supervisor, arguments: list[str]) -> Ended:
    """Reproduce in this checkout, after `trackstack check`; UserError when that objects."""
    from trackstack.check import check

    for line in mend():
        print(line, flush=True)
    pull_raw_data(Path.cwd())
    for line in check():
        print(line, flush=True)
    return supervisor.run([*DVC, "repro", *arguments], Path.cwd())


def repro_pinned(supervisor: Supervisor, arguments: list[str]) -> Ended:
    """Reproduce the commit of the submission in a clone of its own, and bring an experiment back."""
    origin, commit = Path.cwd(), _commit_of_submission(supervisor.job)
    name = experiment_name(f"pinned-{supervisor.job or 'local'}", [commit, *arguments])
    print(f"commit: {commit}", flush=True)
    with pinned_clone(origin, commit, supervisor.folder / "clone", cache_folder(origin)) as clone:
        ended = check_out(supervisor, clone)
        if ended.status == "finished":
            ended = run_experiment(supervisor, clone, commit, name, [], arguments)
    if ended.status == "finished":
        print(f"experiment {name}: dvc exp show; dvc exp apply {name}", flush=True)
    return ended


def run_experiment(
    supervisor: Supervisor, clone: Path, commit: str, name: str, overrides: list[str], arguments: list[str]
) -> Ended:
    """Make an experiment on a commit in a clone, and push it to the checkout that the clone was made from."""
    environment = {"DVC_EXP_NAME": name, "DVC_EXP_BASELINE_REV": commit, "TRACKSTACK_HOME": str(home())}
    ended = supervisor.run(experiment_command(overrides, arguments), clone, **environment)
    if ended.status == "finished":
        push_experiment(clone, commit, name)
    return ended


def _commit_of_submission(job: str | None) -> str:
    """What HEAD was when the job was submitted: by git's own log, and in later lives by the job's comment."""
    if job is None:
        return git(Path.cwd(), "rev-parse", "HEAD")
    kept = re.fullmatch(r"commit ([0-9a-f]{40,64})", slurm.job_field(job, "Comment") or "")
    if kept:
        return kept[1]
    commit = git(Path.cwd(), "rev-parse", f"HEAD@{{{slurm.job_field(job, 'SubmitTime')}}}")
    slurm.run(["scontrol", "update", f"JobId={job}", f"Comment=commit {commit}"])
    return commit


def check_out(supervisor: Supervisor, clone: Path) -> Ended:
    """Link a clone's files from DVC's cache, fetch raw data that is not there, and `trackstack check`."""
    supervisor.run([*DVC, "checkout", "--quiet", "--allow-missing"], clone)
    pull_raw_data(clone)
    return supervisor.run([sys.executable, "-P", "-m", "trackstack.cli", "check"], clone)


def pull_raw_data(root: Path) -> None:
    """Fetch the raw data that the tracked `.dvc` files of a checkout point to, where it is not here yet."""
    for pointer in filter(None, git(root, "ls-files", "-z", "*.dvc").split("\0")):
        if (root / pointer).with_suffix("").exists():
            continue
        pull = [*DVC, "pull", "--quiet", pointer]
        done = subprocess.run(pull, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode:  # perhaps nobody needs it; `check` says when somebody does
            print(f"{pointer}: {' '.join(done.stderr.split())[:200]}", flush=True)


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
    print(f"stages: {stages or 'none ran'}")
    print(f"used: {ended.seconds:.0f} s, {cpu:.0f} s of CPU, {used.ru_maxrss / 2**20:.1f} GiB in the largest process")
    print(f"{ended.status}{': ' + ended.reason if ended.reason else ''}", flush=True)


def main(arguments: list[str]) -> int:
    """Exit code 0 when finished, 75 when interrupted, else 1."""
    work = repro_pinned if "--pinned" in arguments else repro
    rest = [one for one in arguments if one != "--pinned"]
    try:
        print_beginning()
        with Supervisor() as supervisor:
            ended = supervisor.carry_out(lambda: work(supervisor, rest))
            if ended.status == "interrupted":
                print(f"interrupted: {ended.reason}", flush=True)
                again = supervisor.requeue()
                print(f"{'requeued' if again else 'started again'}: it goes on from its checkpoint", flush=True)
        print_end(ended)
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1
    return ended.exit_code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
