"""The work of a sweep or a search, in a job or in a process of its own.

    python -P -m trackstack.cluster.sweep.task FOLDER shared                what all trials share
    python -P -m trackstack.cluster.sweep.task FOLDER trials NAME...        some trials one by one
    python -P -m trackstack.cluster.sweep.task FOLDER search [NAME PID]     what is due of a search

It runs the code of the sweep's base clone, so that an edit of the checkout changes no trial.
"""

from __future__ import annotations

import functools
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path

import yaml

from trackstack import UserError, describe_error
from trackstack.cluster.clones import DVC, pinned_clone
from trackstack.cluster.jobs import check_out, print_beginning, print_end, run_experiment
from trackstack.cluster.stale_job import mend
from trackstack.cluster.supervisor import JobResult, Supervisor
from trackstack.cluster.sweep import SHARED, Sweep, Trial, TrialStatus, load_sweep
from trackstack.core.dvc_yaml import DVC_YAML
from trackstack.system import slurm
from trackstack.system.git import git
from trackstack.system.lease import is_live, take_lease
from trackstack.system.programs import begin_process
from trackstack.system.redaction import redact_uris
from trackstack.system.room import outlive_full_log


def reproduce_shared(sweep: Sweep, supervisor: Supervisor) -> JobResult:
    """Bring what no trial changes into the shared cache, in the base clone; first mend what a kill has left there."""
    lease = sweep.folder / "workers" / SHARED
    if is_live(lease):
        print("waiting for another process that makes it: its command was killed", flush=True)
    while is_live(lease):
        if supervisor.stop_file.exists():
            return JobResult("interrupted", "stopped before it began")
        time.sleep(0.2)
    take_lease(lease, f"what the trials of {sweep.name} share")
    for line in mend():
        print(line, flush=True)
    result = check_out(supervisor, sweep.base)
    if result.status == "finished" and sweep.shared:
        result = supervisor.run([*DVC, "repro", *sweep.shared], sweep.base)
    print_end(result, metrics=False)
    return result


def run_trial(sweep: Sweep, trial: Trial, supervisor: Supervisor, more: Iterable[str] = ()) -> JobResult:
    """Make one experiment in a clone of its own and give it to the checkout.

    Args:
        more: arguments of `dvc repro`.
    """
    print(redact_uris(f"trial {trial.name}: {' '.join(trial.overrides)}"), flush=True)
    with pinned_clone(sweep.origin, sweep.commit, sweep.folder / "work" / trial.name, sweep.cache) as clone:
        take_shared_results(sweep.base, clone)
        forget_own_results(sweep.own, clone)
        arguments = ["--allow-missing", *more, *sweep.pipelines]
        return run_experiment(supervisor, clone, sweep.commit, trial.name, trial.overrides, arguments)


def take_shared_results(base: Path, clone: Path) -> None:
    """What the base clone's repro changed for git: `dvc.lock`, `.gitignore`, and outputs that DVC does not cache."""
    changed = git(base, "ls-files", "-z", "--modified", "--others", "--exclude-standard")
    for path in filter(None, changed.split("\0")):
        if (base / path).is_file():
            (clone / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / path, clone / path)


def forget_own_results(own: Iterable[str], clone: Path) -> None:
    """A trial that equals the commit counts as done, even where nobody has its outputs: without a record it is run.

    Where its outputs are here, DVC's run cache answers.

    Args:
        own: the addresses of the stages that trials change; with a generated one goes all that its definition makes,
            since a trial may change that, too.
    """
    forgotten: dict[Path, set[str]] = {}
    for address in own:
        file, _, name = address.rpartition(":")
        forgotten.setdefault(clone / (file or DVC_YAML), set()).add(name.partition("@")[0])
    for definitions, names in forgotten.items():
        lock = definitions.with_suffix(".lock")
        if lock.exists():
            content = yaml.safe_load(lock.read_bytes())
            stages = content.get("stages") or {}
            kept = {name: entry for name, entry in stages.items() if name.partition("@")[0] not in names}
            lock.write_text(yaml.safe_dump(content | {"stages": kept}, sort_keys=False))


def attempt(sweep: Sweep, name: str, supervisor: Supervisor, work: Callable[[], JobResult]) -> JobResult:
    """Do some work of a sweep, and write down how it went; interrupted, let Slurm start it again."""
    status = TrialStatus("running", attempts=sweep.status(name).attempts + 1, job=supervisor.job)
    sweep.write(name, status)
    # A clone that cannot be made, or an experiment that the checkout does not take, is no fault of the trial.
    result = supervisor.carry_out(work, around="interrupted")
    print(f"{name}: {result.status} {result.reason}".rstrip(), flush=True)
    status.state, status.reason, status.run = result.status, result.reason, result.run
    status.seconds = round(result.seconds, 1)
    is_last = status.attempts >= sweep.attempts
    if result.status == "interrupted" and is_last:
        status.reason += f"; {status.attempts} attempts, the command typed again makes more"
    sweep.write(name, status)
    if result.status == "interrupted" and not is_last and supervisor.requeue(result):
        print("requeued: it goes on from its checkpoint", flush=True)
    return result


def run_trials(sweep: Sweep, names: list[str], supervisor: Supervisor) -> JobResult:
    """Run trials one after the other; stop where one is interrupted."""
    worst = JobResult("finished")
    for trial in (trial for trial in sweep.trials if trial.name in names):
        if trial.name in sweep.finished() or sweep.status(trial.name).state == "failed":
            continue  # this task was requeued, and had got that far
        result = attempt(sweep, trial.name, supervisor, functools.partial(run_trial, sweep, trial, supervisor))
        if result.status == "interrupted":
            return result
        worst = result if result.status == "failed" else worst
    return worst


def main(arguments: list[str]) -> int:
    """Exit code 0 when finished, 75 when interrupted, else 1."""
    begin_process()
    folder, what, *names = arguments
    os.environ |= {"TRACKSTACK_HOME": str(Path(folder).parents[2]), "TRACKSTACK_SWEEP": Path(folder).name}
    try:
        print_beginning()
        with Supervisor() as supervisor:
            return _work(Path(folder), what, names, supervisor).exit_code
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1


def _work(folder: Path, what: str, names: list[str], supervisor: Supervisor) -> JobResult:
    if what == "search":
        from trackstack.cluster.search.task import take_part  # which is made of what is above

        return take_part(folder, names, supervisor)
    sweep = load_sweep(folder)
    if what == SHARED:
        return attempt(sweep, SHARED, supervisor, lambda: reproduce_shared(sweep, supervisor))
    return run_trials(sweep, names or _names_of_task(sweep), supervisor)


def _names_of_task(sweep: Sweep) -> list[str]:
    """The trials of this array task, from the note that its submission has left."""
    array, index = os.environ["SLURM_ARRAY_JOB_ID"], int(os.environ["SLURM_ARRAY_TASK_ID"])
    for submission in sweep.submissions():
        if array in submission["arrays"]:
            return submission["arrays"][array][index]
    raise UserError(f"{sweep.folder}: no submission of job {array}; {slurm.job_name()} does not know its trials")


if __name__ == "__main__":
    outlive_full_log()
    sys.exit(main(sys.argv[1:]))
