"""The work of a sweep, in a job or in a process of its own: what all trials share, or some trials one by one.

    python -P -m trackstack.sweep.task FOLDER shared
    python -P -m trackstack.sweep.task FOLDER trials NAME...

It runs the code of the sweep's base clone, so that an edit of the checkout changes no trial.
"""

from __future__ import annotations

import dataclasses
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path

import yaml

from trackstack import UserError, describe_error, slurm
from trackstack.clones import DVC, git, pinned_clone
from trackstack.job import Ended, Supervisor, check_out, print_beginning, print_end, run_experiment
from trackstack.sweep import SHARED, Note, Sweep, Trial, load_sweep


def reproduce_shared(sweep: Sweep, supervisor: Supervisor) -> Ended:
    """Bring what no trial changes into the shared cache, in the base clone."""
    ended = check_out(supervisor, sweep.base)
    if ended.status == "finished" and sweep.shared:
        ended = supervisor.run([*DVC, "repro", *sweep.shared], sweep.base)
    print_end(ended, metrics=False)
    return ended


def run_trial(sweep: Sweep, trial: Trial, supervisor: Supervisor) -> Ended:
    """Make one experiment in a clone of its own and give it to the checkout."""
    print(f"trial {trial.name}: {' '.join(trial.overrides)}", flush=True)
    with pinned_clone(sweep.origin, sweep.commit, sweep.folder / "work" / trial.name, sweep.cache) as clone:
        _take_shared_results(sweep, clone)
        _forget_own_results(sweep, clone)
        return run_experiment(supervisor, clone, sweep.commit, trial.name, trial.overrides, ["--allow-missing"])


def _take_shared_results(sweep: Sweep, clone: Path) -> None:
    """What the base clone recorded in files that git tracks: `dvc.lock`, and outputs that DVC does not cache."""
    for path in filter(None, git(sweep.base, "diff", "--name-only", "-z").split("\0")):
        shutil.copyfile(sweep.base / path, clone / path)


def _forget_own_results(sweep: Sweep, clone: Path) -> None:
    """A trial that equals the commit counts as done, even where nobody has its outputs: without a record it is run.

    Where its outputs are here, DVC's run cache answers.
    """
    lock = clone / "dvc.lock"
    if lock.exists():
        content = yaml.safe_load(lock.read_text())
        content["stages"] = {name: entry for name, entry in content["stages"].items() if name not in sweep.own}
        lock.write_text(yaml.safe_dump(content, sort_keys=False))


def attempt(sweep: Sweep, name: str, supervisor: Supervisor, work: Callable[[], Ended]) -> Ended:
    """Do some work of a sweep, and write down how it went; interrupted, let Slurm start it again."""
    note = Note("running", attempts=sweep.note(name).attempts + 1, job=supervisor.job)
    sweep.write(name, note)
    ended = supervisor.carry_out(work)
    print(f"{name}: {ended.status} {ended.reason}".rstrip(), flush=True)
    note = dataclasses.replace(
        note, state=ended.status, reason=ended.reason, run=ended.run, seconds=round(ended.seconds, 1)
    )
    last = note.attempts >= sweep.attempts
    if ended.status == "interrupted" and last:
        note.reason += f"; {note.attempts} attempts, the command typed again makes more"
    sweep.write(name, note)
    if ended.status == "interrupted" and not last and supervisor.requeue():
        print("requeued: it goes on from its checkpoint", flush=True)
    return ended


def run_trials(sweep: Sweep, names: list[str], supervisor: Supervisor) -> Ended:
    """Run trials one after the other; stop where one is interrupted."""
    worst = Ended("finished")
    for trial in (trial for trial in sweep.trials if trial.name in names):
        if trial.name in sweep.finished() or sweep.note(trial.name).state == "failed":
            continue  # this task was requeued, and had got that far
        ended = attempt(sweep, trial.name, supervisor, lambda trial=trial: run_trial(sweep, trial, supervisor))
        if ended.status == "interrupted":
            return ended
        worst = ended if ended.status == "failed" else worst
    return worst


def main(arguments: list[str]) -> int:
    """Exit code 0 when finished, 75 when interrupted, else 1."""
    folder, what, *names = arguments
    sweep = load_sweep(Path(folder))
    os.environ |= {"TRACKSTACK_HOME": str(sweep.folder.parents[2]), "TRACKSTACK_SWEEP": sweep.name}
    try:
        print_beginning()
        with Supervisor() as supervisor:
            if what == SHARED:
                return attempt(sweep, SHARED, supervisor, lambda: reproduce_shared(sweep, supervisor)).exit_code
            return run_trials(sweep, names or _names_of_task(sweep), supervisor).exit_code
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1


def _names_of_task(sweep: Sweep) -> list[str]:
    """The trials of this array task, from the note that its submission has left."""
    array, index = os.environ["SLURM_ARRAY_JOB_ID"], int(os.environ["SLURM_ARRAY_TASK_ID"])
    for file in (sweep.folder / "submissions").glob("*.json"):
        arrays = json.loads(file.read_text())["arrays"]
        if array in arrays:
            return arrays[array][index]
    raise UserError(f"{sweep.folder}: no submission of job {array}; {slurm.job_name()} does not know its trials")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
