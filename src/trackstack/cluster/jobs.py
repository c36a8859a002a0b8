"""What a job does around DVC: repair what a killed job has left, check, reproduce, requeue, and say how it went.

python -P -m trackstack.cluster.jobs [--pinned] [arguments of dvc repro]          (slurm/repro.sh does it)
"""

from __future__ import annotations

import itertools
import os
import re
import resource
import shlex
import shutil
import socket
import subprocess
import sys
from pathlib import Path

from trackstack import UserError, describe_error
from trackstack.cluster.clones import (
    DVC,
    EXPERIMENT,
    cache_folder,
    experiment_name,
    folder_in_git,
    pinned_clone,
    present_commit,
    push_experiment,
)
from trackstack.cluster.stale_job import mend
from trackstack.cluster.supervisor import JobResult, Supervisor
from trackstack.core.params import load_yaml
from trackstack.system import slurm
from trackstack.system.git import git
from trackstack.system.programs import begin_process, run_program
from trackstack.system.project import check_project, refuse_unusable_folder
from trackstack.system.redaction import redact_uris
from trackstack.system.room import outlive_full_log
from trackstack.tracking.environment import home


def repro(supervisor: Supervisor, arguments: list[str]) -> JobResult:
    """Reproduce in this checkout, after the project's own check; UserError when that objects."""
    for line in mend():
        print(line, flush=True)
    for line in itertools.chain(pull_raw_data(Path.cwd()), check_project()):
        print(line, flush=True)
    return supervisor.run([*DVC, "repro", *arguments], Path.cwd())


def repro_pinned(supervisor: Supervisor, arguments: list[str]) -> JobResult:
    """Reproduce the commit of the submission in a clone of its own, and bring an experiment back."""
    origin, commit = Path.cwd(), _commit_of_submission(supervisor.job)
    name = experiment_name(f"pinned-{supervisor.job or 'local'}", [commit, *arguments])
    print(f"commit: {commit}", flush=True)
    with pinned_clone(origin, commit, supervisor.folder / "clone", cache_folder(origin)) as clone:
        result = check_out(supervisor, clone)
        if result.status == "finished":
            result = run_experiment(supervisor, clone, commit, name, [], arguments)
    if result.status == "finished":
        print(f"experiment {name}: dvc exp show; dvc exp apply {name}", flush=True)
    return result


def run_experiment(
    supervisor: Supervisor, clone: Path, commit: str, name: str, overrides: list[str], arguments: list[str]
) -> JobResult:
    """Make an experiment on a commit in a clone, and push it to the checkout that the clone was made from."""
    environment = {"DVC_EXP_NAME": name, "DVC_EXP_BASELINE_REV": commit, "TRACKSTACK_HOME": str(home())}
    result = supervisor.run([*EXPERIMENT, *overrides, "--", *arguments], clone, **environment)
    if result.status == "finished":
        push_experiment(clone, commit, name)
    return result


def _commit_of_submission(job: str | None) -> str:
    """What HEAD was when the job was submitted: by git's own log, and in later lives by the job's comment."""
    if job is None:
        return present_commit(Path.cwd())
    kept = re.fullmatch(r"commit ([0-9a-f]{40,64})", slurm.job_field(job, "Comment") or "")
    if kept:
        return kept[1]
    commit = git(Path.cwd(), "rev-parse", f"HEAD@{{{slurm.job_field(job, 'SubmitTime')}}}")
    slurm.run(["scontrol", "update", f"JobId={job}", f"Comment=commit {commit}"])
    return commit


def check_out(supervisor: Supervisor, clone: Path) -> JobResult:
    """Link a clone's files from DVC's cache, fetch raw data that is not there, and do the project's own check."""
    result = supervisor.run(EXPERIMENT, clone)
    if result.status != "finished":
        return result
    for line in pull_raw_data(clone):
        print(line, flush=True)
    return supervisor.run([sys.executable, "-P", "-m", "trackstack.cli", "check-project"], clone)


def pull_raw_data(root: Path) -> list[str]:
    """Fetch the data that the tracked `.dvc` files of a checkout point to, where it is not here yet.

    Returns:
        A line for each that could not be fetched: perhaps nobody needs it; `check` says when somebody does.
    """
    problems = []
    for pointer in filter(None, git(root, "ls-files", "-z", "*.dvc").split("\0")):
        try:
            content = load_yaml(root / pointer)
            folder = (root / pointer).parent / content.get("wdir", ".")
            if all((folder / out["path"]).exists() for out in content.get("outs", [])):
                continue
        except (AttributeError, KeyError, TypeError):  # damaged: DVC says so where it is needed
            continue
        done = run_program([*DVC, "pull", "--quiet", pointer], cwd=root)
        if done.returncode:
            problems.append(redact_uris(f"{pointer}: {' '.join(done.stderr.split())[:200]}"))
    return problems


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
        done = run_program(["nvidia-smi", "-L"])
        if done.returncode == 0 and done.stdout:
            return "; ".join(line.split(" (UUID")[0] for line in done.stdout.strip().splitlines())
    cores = len(os.sched_getaffinity(0))
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return f"CPU, {cores} cores" + (f" (CUDA_VISIBLE_DEVICES={visible}, but no NVIDIA driver)" if visible else "")


def print_end(result: JobResult, metrics: bool = True) -> None:
    """Metrics, run, seconds per stage, memory and CPU used."""
    if metrics and result.status == "finished":
        subprocess.run([*DVC, "metrics", "show"], stdin=subprocess.DEVNULL, check=False)
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = used.ru_utime + used.ru_stime
    stages = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in result.stages.items())
    print(f"run: {result.run or 'nothing was trained'}")
    print(f"stages: {stages or 'none ran'}")
    print(f"used: {result.seconds:.0f} s, {cpu:.0f} s of CPU, {used.ru_maxrss / 2**20:.1f} GiB at most in a process")
    print(f"{result.status}{': ' + result.reason if result.reason else ''}", flush=True)


def main(arguments: list[str]) -> int:
    """Exit code 0 when finished, 75 when interrupted, else 1."""
    begin_process()
    work = repro_pinned if "--pinned" in arguments else repro
    rest = [argument for argument in arguments if argument != "--pinned"]
    try:
        refuse_unusable_folder(Path.cwd())
        if work is repro_pinned:
            folder_in_git(Path.cwd())
        print_beginning()
        with Supervisor() as supervisor:
            result = supervisor.carry_out(lambda: work(supervisor, rest))
            if result.status == "interrupted":
                print(f"interrupted: {result.reason}", flush=True)
                again = supervisor.requeue(result)
                print(f"{'requeued' if again else 'started again'}: it goes on from its checkpoint", flush=True)
        print_end(result)
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1
    return result.exit_code


if __name__ == "__main__":
    outlive_full_log()
    sys.exit(main(sys.argv[1:]))
