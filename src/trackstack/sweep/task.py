"""The work of a sweep, in a job or in a process of its own: what all trials share, or some trials one by one.

    python -P -m trackstack.sweep.task FOLDER shared
    python -P -m trackstack.sweep.task FOLDER trials NAME...

It runs the code of the sweep's base clone, so that an edit of the checkout changes no trial.
"""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path

from trackstack import UserError, describe_error, slurm
from trackstack.clones import experiment_command, git, pinned_clone, push_experiment
from trackstack.job import DVC, EXIT_INTERRUPTED, Ended, Supervisor, print_beginning, print_end, pull_raw_data
from trackstack.sweep import Note, Sweep, load_sweep
from trackstack.sweep.trials import Trial


def reproduce_shared(sweep: Sweep, supervisor: Supervisor) -> Ended:
    """Bring what no trial changes into the shared cache, in the base clone."""
    from trackstack.check import check

    os.chdir(sweep.base)
    supervisor.run([*DVC, "checkout", "--quiet", "--allow-missing"], sweep.base)
    pull_raw_data()
    for line in check():
        print(line, flush=True)
    if not sweep.shared:
        return Ended("finished")
    return supervisor.run([*DVC, "repro", *sweep.shared], sweep.base)


def run_trial(sweep: Sweep, trial: Trial, supervisor: Supervisor) -> Note:
    """Make one experiment in a clone of its own and give it to the checkout."""
    note = sweep.note(trial)
    note = Note("running", attempts=note.attempts + 1, job=supervisor.job)
    sweep.write(trial, note)
    print(f"trial {trial.name}: {' '.join(trial.overrides)}", flush=True)
    try:
        with pinned_clone(sweep.origin, sweep.commit, sweep.folder / "work" / trial.name, sweep.cache) as clone:
            _take_shared_results(sweep, clone)
            command = experiment_command(trial.name, trial.overrides, sweep.reads)
            ended = supervisor.run(command, clone, TRACKSTACK_SWEEP=sweep.name)
            if ended.status == "finished":
                push_experiment(clone, trial.name)
    except (UserError, OSError) as error:
        ended = Ended("failed", describe_error(error))
    note.state, note.reason, note.run, note.seconds = ended.status, ended.reason, ended.run, round(ended.seconds, 1)
    if note.state == "interrupted" and note.attempts >= sweep.attempts:
        note.reason = f"{note.reason}; {note.attempts} attempts, the command typed again makes more"
    sweep.write(trial, note)
    print(f"trial {trial.name}: {note.state} {note.reason}".rstrip(), flush=True)
    return note


def _take_shared_results(sweep: Sweep, clone: Path) -> None:
    """What the base clone recorded in files that git tracks: `dvc.lock`, and outputs that DVC does not cache."""
    for path in filter(None, git(sweep.base, "diff", "--name-only", "-z").split("\0")):
        shutil.copyfile(sweep.base / path, clone / path)


def run_trials(sweep: Sweep, names: list[str], supervisor: Supervisor) -> str:
    """Run trials one after the other; stop where one is interrupted, and ask Slurm to start again."""
    worst = "finished"
    for trial in (trial for trial in sweep.trials if trial.name in names):
        if trial.name in sweep.finished() or sweep.note(trial).state == "failed":
            continue  # this task was requeued, and had got that far
        note = run_trial(sweep, trial, supervisor)
        if note.state == "interrupted":
            if note.attempts < sweep.attempts and supervisor.requeue():
                print("requeued: it goes on from its checkpoint", flush=True)
            return "interrupted"
        worst = "failed" if note.state == "failed" else worst
    return worst


def main(arguments: list[str]) -> int:
    """Exit code 0 when finished, 75 when interrupted, else 1."""
    folder, what, *names = arguments
    sweep = load_sweep(Path(folder))
    os.environ["TRACKSTACK_HOME"] = str(sweep.folder.parents[2])
    try:
        print_beginning()
        supervisor = Supervisor()
        if what == "shared":
            ended = reproduce_shared(sweep, supervisor)
            print_end(ended, metrics=False)
            status = ended.status
        else:
            status = run_trials(sweep, names or _names_of_task(sweep), supervisor)
    except (UserError, OSError) as error:
        print(describe_error(error), file=sys.stderr)
        return 1
    return {"finished": 0, "interrupted": EXIT_INTERRUPTED}.get(status, 1)


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
