"""Start or resume a sweep: its folder, and its SLURM jobs."""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import os
import sys
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from trackstack import UserError
from trackstack.cluster.clones import cache_folder, folder_in_git, make_clone, present_commit
from trackstack.cluster.pipeline import local_paths, open_repo
from trackstack.cluster.submit import sbatch_options
from trackstack.cluster.sweep import BASE, SEARCH_FILE, SHARED, Sweep, Trial, TrialStatus, load_sweep
from trackstack.cluster.sweep.trials import split_pipeline
from trackstack.core.digest import digest_json
from trackstack.core.files import sealed, write_json
from trackstack.system import slurm
from trackstack.system.git import git
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.project import refuse_unusable_folder
from trackstack.tracking.environment import home

SCRIPT = Path("slurm/sweep.sh")


def prepare(trials: list[Trial], attempts: int) -> Sweep:
    """The sweep of these trials at the present commit: as it was left, or a new one; see `new_sweep`."""
    _, commit = _place_and_commit()
    name = f"{trials[0].name.rpartition('-')[0]}-{digest_json([commit, sorted(t.name for t in trials)])[:4]}"
    try:
        return dataclasses.replace(load_sweep(folder_of(name)), attempts=attempts)
    except FileNotFoundError:
        pass
    except UserError as damage:
        print(f"warning: {damage}", file=sys.stderr)
    parameters = {override.partition("=")[0] for trial in trials for override in trial.overrides}
    return new_sweep(name, trials, parameters, attempts)


def folder_of(name: str) -> Path:
    """Where a sweep lies, or would lie."""
    return home() / "runs/.sweeps" / name


def new_sweep(name: str, trials: list[Trial], parameters: Collection[str], attempts: int) -> Sweep:
    """A sweep at the present commit, of which nothing exists yet.

    Args:
        parameters: those that its trials change.

    Raises:
        UserError: uncommitted changes, which the trials would not have, or parameters that no stage follows.
    """
    origin, (subfolder, commit) = Path.cwd(), _place_and_commit()
    shared, own = split_pipeline(parameters, origin)
    return Sweep(folder_of(name), origin, commit, trials, attempts, own, shared, cache_folder(origin), str(subfolder))


def _place_and_commit() -> tuple[Path, str]:
    """Where in its git repository this folder lies, and HEAD; UserError where trials could not be made of it."""
    refuse_unusable_folder(home())
    found = folder_in_git(Path.cwd()), present_commit(Path.cwd())
    refuse_dirty_tree(Path.cwd())
    return found


def refuse_dirty_tree(root: Path) -> None:
    """UserError when the trials, which run the commit, would lack an edit or a file that is here.

    What a repro writes, and files that no stage depends on, are no matter.
    """
    listing = git(root, "status", "--porcelain", "-z", "--untracked-files=all", "--no-renames")
    top = git(root, "rev-parse", "--show-toplevel")  # which git's paths begin at
    changes = [
        (line[:2], Path(os.path.relpath(Path(top, line[3:]), root.resolve())))
        for line in filter(None, listing.split("\0"))
    ]
    if not changes:
        return
    with open_repo(root) as repo:
        stages = [stage for stage in repo.index.stages if stage.cmd]
        outputs = local_paths((out for stage in stages for out in stage.outs), root)
        deps = [dep for stage in stages for dep in stage.deps]
        needed = local_paths(deps, root)
        code = local_paths((dep for dep in deps if dep.hash_name != "params"), root) - outputs
    siblings = {(path.parent, path.suffix) for path in code if (root / path).is_file()}
    for state, path in changes:
        if path.name == "dvc.lock" or any(path.is_relative_to(output) for output in outputs):
            continue
        if state != "??":
            raise UserError(f"{path}: not committed, and the trials run the commit; git commit -a, or git stash")
        is_compiled = "__pycache__" in path.parts
        is_definition = path.name == "dvc.yaml" or path.suffix == ".dvc"
        is_needed = any(path.is_relative_to(dep) for dep in needed) or (path.parent, path.suffix) in siblings
        if not is_compiled and (is_definition or is_needed):
            raise UserError(f"{path}: not in git, and the trials run the commit; git add it and commit, or remove it")


@contextlib.contextmanager
def at_work(sweep: Sweep) -> Iterator[None]:
    """Be the only one who starts the sweep's trials, of which there is a base clone from now on."""
    what = "search" if (sweep.folder / SEARCH_FILE).exists() else "sweep"
    take_lease(sweep.folder, f"{what} {sweep.name}")
    try:
        if not (sweep.is_saved() and sweep.base.is_dir()):  # gc removes the clones of a sweep that has ended
            make_clone(sweep.origin, sweep.commit, sweep.folder / BASE, sweep.cache)
        sweep.save()
        yield
    finally:
        give_back_lease(sweep.folder)


def to_run(statuses: dict[str, TrialStatus], trials: list[Trial], retry_failed: bool) -> list[Trial]:
    """The trials that nobody has finished and nobody is at."""
    wanted = ("waiting", "interrupted", *(["failed"] if retry_failed else []))
    return [trial for trial in trials if statuses[trial.name].state in wanted]


class Tasks(NamedTuple):
    """What is submitted behind the job for what the trials share."""

    what: str
    """They do trials, or a search."""
    names: list[list[str]]
    """Of each task's trials; none in a search, whose tasks take what is due."""
    limit: int | None = None
    """Of tasks at a time."""
    time: str | None = None
    """How long each may take, as sbatch reads it; what its stages ask for by default."""


def tasks_of(trials: list[Trial], pack: int, limit: int | None) -> Tasks:
    """So many trials for each task, one after the other."""
    names = [trial.name for trial in trials]
    return Tasks("trials", [names[first : first + pack] for first in range(0, len(names), pack)], limit)


def submit(sweep: Sweep, tasks: Tasks) -> Iterator[str]:
    """Submit one job for what the trials share and, behind it, arrays of tasks; yield a line for each job.

    Raises:
        UserError: Slurm is not here, or refuses; then nothing stays in the queue, and no trial's status is touched.
    """
    if not tasks.names:
        return
    slurm.refuse_without_slurm("--local -j 2 runs on this machine")
    Path("logs").mkdir(exist_ok=True)
    shared, arrays = _commands(sweep, tasks)
    # Held, so that all is written down before a task asks what its trials are.
    job = slurm.submit([*shared[:2], "--hold", *shared[2:]], without=[slurm.GPU_REQUEST])
    submitted: dict[str, list[list[str]]] = {}
    try:
        for command, names in arrays:
            submitted[slurm.submit(command, _behind(job, submitted), without=[slurm.GPU_REQUEST])] = names
    except UserError:
        slurm.cancel(job)  # and with it what waits for it
        raise
    write_json(sweep.folder / "submissions" / f"{job}.json", sealed({"shared": job, "arrays": submitted}))
    sweep.forget([SHARED, *itertools.chain.from_iterable(tasks.names)])
    slurm.release(job)
    yield f"{', '.join(sweep.shared) or 'raw data'}: job {job}"
    for array, names in submitted.items():
        num_trials = sum(map(len, names))
        yield (f"{num_trials} trials in " if num_trials else "") + f"{len(names)} tasks: job {array}"


def show_submissions(sweep: Sweep, tasks: Tasks) -> Iterator[str]:
    """What `submit` would do, as lines for a shell."""
    if not tasks.names:
        return
    shared, arrays = _commands(sweep, tasks)
    yield slurm.show_submission("shared", shared, without=[slurm.GPU_REQUEST])
    names: list[str] = []
    for command, _ in arrays:
        after = _behind("$shared", names)
        names.append(f"$array{len(names) + 1}")
        yield slurm.show_submission(names[-1][1:], command, after, without=[slurm.GPU_REQUEST])


def _behind(shared: str, arrays: Iterable[str]) -> str:
    """Beyond the site's limit arrays come one after the other, so that the limit of tasks holds for all of them."""
    return f"afterok:{shared}" + "".join(f",afterany:{array}" for array in list(arrays)[-1:])


def _commands(sweep: Sweep, tasks: Tasks) -> tuple[list[str], list[tuple[list[str], list[list[str]]]]]:
    """The submission of what is shared; those of the arrays, each with the names of its tasks' trials."""
    slurm.refuse_without_script(SCRIPT)
    arguments = [str(sweep.folder), str(Path(sys.executable).parent)]
    shared = slurm.sbatch_command(str(SCRIPT), [*arguments, SHARED], job_name=sweep.name, output="logs/%x_%j.out")
    resources = {name: value for stage in sweep.own.values() for name, value in stage.items()}
    limit = f"%{tasks.limit}" if tasks.limit else ""
    arrays, most = [], slurm.largest_array()
    for first in range(0, len(tasks.names), most):
        names = tasks.names[first : first + most]
        options = {"job_name": sweep.name, "array": f"0-{len(names) - 1}{limit}"} | sbatch_options(resources)
        options |= {"time": tasks.time} if tasks.time else {}
        arrays.append((slurm.sbatch_command(str(SCRIPT), [*arguments, tasks.what], **options), names))
    return shared, arrays
