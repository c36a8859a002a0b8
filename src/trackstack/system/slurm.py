"""Slurm's commands as functions: submit, look, requeue. What Slurm refuses is one line that says what to do."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable
from pathlib import Path

from trackstack import UserError
from trackstack.system.programs import run_program

SITE = "slurm/site.env"
GPU_REQUEST = "SBATCH_GPUS_PER_NODE"
"""What slurm/site.env asks for; a job that computes on no GPU is submitted without it."""
OUTER_JOB = re.compile(r"SLURM_(?!CONF$|CLUSTERS$|CLUSTER_NAME$)|SRUN_")
"""Variables of the job that this process runs in: sbatch would hand on its CPU binding, memory and the like."""
OF_ONE_SUBMISSION = {"SBATCH_WAIT", "SBATCH_ARRAY_INX"}
"""Variables that sbatch reads as options of a job by itself: ours would be waited for, or become arrays."""
KILL_ON_INVALID_DEPENDENCY = "--kill-on-invalid-dep=yes"
PATTERN = re.compile(r"%\w|\\")
"""In the name of a folder, what Slurm takes for a job's number or name: such a job ends as JobLaunchFailure."""
NO_CLUSTER = (
    "is this a login node of the cluster? Without one: dvc repro, trackstack sweep --local, trackstack ui --local"
)
HINTS = {
    "invalid partition": "sinfo lists those there are",
    "invalid account": f"set SBATCH_ACCOUNT, or edit {SITE}",
    "no account": f"set SBATCH_ACCOUNT, or edit {SITE}",
    "unable to contact": NO_CLUSTER,
    "configuration source": NO_CLUSTER,
    "node configuration is not available": "ask for less; sinfo -o '%P %l %c %m %G' shows what the partitions have",
}


class NoClusterError(UserError):
    """Slurm's commands are here, and no cluster answers them."""


def sbatch_command(script: str, arguments: Iterable[str] = (), **options: str | int | bool) -> list[str]:
    """The command line of a submission; `job_name="x"` becomes `--job-name=x`, True a flag."""
    flags = [
        f"--{name.replace('_', '-')}" + ("" if value is True else f"={value}")
        for name, value in options.items()
        if value not in (None, False)
    ]
    return ["sbatch", "--parsable", *flags, script, *arguments]


def submit(command: list[str], dependency: str = "", without: Iterable[str] = ()) -> str:
    """Submit a job and return its id.

    Args:
        command: from `sbatch_command`.
        dependency: what it waits for; when that cannot come true any more, the job is cancelled.
        without: environment variables that this submission must not see.

    Raises:
        UserError: Slurm is not here, or refuses, or names no job.
    """
    left_out = _left_out(without)
    environment = {name: value for name, value in os.environ.items() if name not in left_out}
    behind = [f"--dependency={dependency}", KILL_ON_INVALID_DEPENDENCY] if dependency else []
    answer = run([*command[:2], *behind, *command[2:]], environment).strip().split(";")[0]
    if not answer.isdecimal():
        raise UserError(f"sbatch answered {answer!r}, not a job's id; type: unset SBATCH_TEST_ONLY")
    return answer


def show_submission(variable: str, command: list[str], dependency: str = "", without: Iterable[str] = ()) -> str:
    """A submission as a line for a shell that keeps the job's id in a variable.

    Args:
        dependency: may name the variables of earlier lines: `afterok:$job1`.
    """
    left_out = _left_out(without)
    prefix = ["env", *(part for name in left_out for part in ("-u", name))] if left_out else []
    behind = [f'--dependency="{dependency}"', KILL_ON_INVALID_DEPENDENCY] if dependency else []
    return f"{variable}=$({' '.join([shlex.join([*prefix, *command[:2]]), *behind, shlex.join(command[2:])])})"


def would_accept(script: str) -> tuple[bool, str]:
    """Whether Slurm would take a job script, and its answer."""
    environment = {name: value for name, value in os.environ.items() if name not in _left_out()}
    command = ["sbatch", "--test-only", script]
    done = run_program(command, env=environment, timeout=120)
    answer = done.stderr.strip().splitlines() or ["no answer"]
    return done.returncode == 0, answer[-1]


def _left_out(without: Iterable[str] = ()) -> list[str]:
    """The variables that a submission must not see."""
    return [name for name in os.environ if name in OF_ONE_SUBMISSION.union(without) or OUTER_JOB.match(name)]


def active_tasks(jobs: Iterable[str]) -> dict[str, str]:
    """State by id of those jobs and array tasks (`123`, `124_0`) that are queued or running still."""
    jobs = set(jobs)
    if not jobs:
        return {}
    # A list of ids fails as a whole when one of them is forgotten, so ask for all of the user's.
    lines = run(["squeue", "--noheader", "--me", "--array", "--format=%i %F %T"]).splitlines()
    rows = [line.split() for line in lines]
    return {task: state for task, job, state in rows if job in jobs}


def job_field(job: str, field: str) -> str | None:
    """One field of `scontrol show job`, None where there is no such job or Slurm does not answer."""
    try:
        shown = run(["scontrol", "show", "job", "--oneliner", job])
    except UserError:
        return None
    match = re.search(rf"(?:^|\s){field}=(.*?)(?=\s+[\w:/]+=|$)", shown)
    return match[1] if match else None


def requeue(job: str) -> bool:
    """Put a running job back into the queue; False, with a word, when Slurm refuses."""
    try:
        run(["scontrol", "requeue", job])
    except UserError as error:
        print(f"not requeued: {error}", flush=True)
        return False
    return True


def release(job: str) -> None:
    """Let a job go that was submitted with --hold."""
    run(["scontrol", "release", job])


def cancel(job: str) -> None:
    """End a job."""
    run(["scancel", job])


def end_of_job(job: str) -> float | None:
    """When the job's time limit ends it, in seconds since 1970; None without a limit."""
    if known := os.environ.get("SLURM_JOB_END_TIME"):
        return float(known)
    end = job_field(job, "EndTime")  # versions before 23.02 set no variable
    try:
        return time.mktime(time.strptime(end or "", "%Y-%m-%dT%H:%M:%S"))
    except ValueError:
        return None


def first_node_address() -> str:
    """Where the first node of this job is reached."""
    return node_address(run(["scontrol", "show", "hostnames", os.environ["SLURM_JOB_NODELIST"]]).split()[0])


def node_address(node: str) -> str:
    """Where a node is reached: by Slurm's own address, since its name need not be a host's."""
    shown = run(["scontrol", "show", "node", "--oneliner", node])
    address = re.search(r"\bNodeAddr=(\S+)", shown)
    return address[1] if address else node


def config() -> dict[str, str]:
    """The cluster's settings, as `scontrol show config` names them."""
    shown = run(["scontrol", "show", "config"])
    return dict(re.findall(r"^(\w+)\s*=\s*(.*?)\s*$", shown, re.MULTILINE))


def largest_array() -> int:
    """The most tasks that one job array may have here; Slurm's default where there is no cluster to ask."""
    try:
        return int(config().get("MaxArraySize", 1001))
    except UserError:
        return 1001


def job_name() -> str | None:
    """The id of the job, or of the array task, that this process belongs to: `123`, `124_0`."""
    job, array, task = (os.environ.get(f"SLURM_{name}") for name in ("JOB_ID", "ARRAY_JOB_ID", "ARRAY_TASK_ID"))
    return f"{array}_{task}" if array else job


def refuse_without_slurm(instead: str) -> None:
    """UserError where Slurm's commands are not installed."""
    if shutil.which("sbatch") is None:
        raise UserError(f"sbatch: not found, so there is no Slurm here; {instead}")


def refuse_without_script(script: Path) -> None:
    """UserError where a script, or what it sources, is missing or damaged, or Slurm could launch no job here."""
    if PATTERN.search(str(Path.cwd())):
        raise UserError(f"{str(Path.cwd())!r}: Slurm launches no job in it: %1, %x and \\ are its own; rename it")
    _refuse_damaged_script(script)
    if SITE in script.read_text(encoding="utf-8", errors="replace"):
        _refuse_damaged_script(script.with_name(Path(SITE).name))


def _refuse_damaged_script(file: Path) -> None:
    if not file.is_file():
        raise UserError(f"{file}: no such file here; trackstack init writes it, in the root of the checkout")
    checked = run_program(["bash", "-n", str(file)])  # else the job would find out, after its time in the queue
    if checked.returncode:
        reason = (checked.stderr.splitlines() or [f"{file}: no shell script"])[0].removeprefix("bash: ")
        raise UserError(f"{reason}; correct it, or move it away and type: trackstack init")


def run(command: list[str], environment: dict[str, str] | None = None) -> str:
    """Output of one of Slurm's commands; UserError with its complaint, or where it does not answer."""
    try:
        done = run_program(command, env=environment, timeout=120)
    except FileNotFoundError:
        raise UserError(f"{command[0]}: not found, so there is no Slurm here") from None
    except subprocess.TimeoutExpired:
        raise UserError(f"{command[0]}: no answer within 120 s; the controller may be down: sinfo") from None
    if done.returncode:
        reason = "; ".join(line.split(": ", 2)[-1] for line in done.stderr.strip().splitlines()) or "failed"
        hint = next((hint for part, hint in HINTS.items() if part in reason.lower()), None)
        if hint == NO_CLUSTER:
            raise NoClusterError(f"{command[0]}: {reason.rpartition('; ')[2]}; {hint}")
        raise UserError(f"{command[0]} refused: {reason}" + (f"; {hint}" if hint else ""))
    return done.stdout
