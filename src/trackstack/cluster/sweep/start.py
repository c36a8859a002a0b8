"""Start or resume a sweep: as SLURM jobs, or as processes on this machine."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from trackstack import UserError, describe_error
from trackstack.cluster.clones import cache_folder, folder_in_git, make_clone, own_code, present_commit
from trackstack.cluster.pipeline import local_paths, open_repo
from trackstack.cluster.submit import sbatch_options
from trackstack.cluster.sweep import BASE, SHARED, Sweep, Trial, TrialStatus, load_sweep
from trackstack.cluster.sweep.trials import split_pipeline
from trackstack.core.digest import digest_json
from trackstack.core.files import sealed, write_json
from trackstack.system import slurm
from trackstack.system.git import git
from trackstack.system.lease import give_back_lease, take_lease
from trackstack.system.project import refuse_unusable_folder
from trackstack.tracking.environment import home

SCRIPT = Path("slurm/sweep.sh")
TASK = [sys.executable, "-P", "-m", "trackstack.cluster.sweep.task"]


def prepare(trials: list[Trial], attempts: int) -> Sweep:
    """The sweep of these trials at the present commit: as it was left, or a new one, of which nothing exists yet.

    Raises:
        UserError: uncommitted changes, which the trials would not have, or parameters that no stage follows.
    """
    origin = Path.cwd()
    refuse_unusable_folder(home())
    subfolder = folder_in_git(origin)
    commit = present_commit(origin)
    refuse_dirty_tree(origin)
    name = f"{trials[0].name.rpartition('-')[0]}-{digest_json([commit, sorted(t.name for t in trials)])[:4]}"
    folder = home() / "runs/.sweeps" / name
    try:
        return dataclasses.replace(load_sweep(folder), attempts=attempts)
    except FileNotFoundError:
        pass
    except UserError as damage:
        print(f"warning: {damage}", file=sys.stderr)
    parameters = {override.partition("=")[0] for trial in trials for override in trial.overrides}
    shared, own = split_pipeline(parameters, origin)
    return Sweep(folder, origin, commit, trials, attempts, own, shared, cache_folder(origin), str(subfolder))


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
    take_lease(sweep.folder, f"sweep {sweep.name}")
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


def submit_sweep(sweep: Sweep, trials: list[Trial], max_parallel: int | None, pack: int) -> Iterator[str]:
    """Submit one job for what the trials share and, behind it, arrays of trials; yield a line for each job.

    Raises:
        UserError: Slurm is not here, or refuses; then nothing stays in the queue, and no trial's status is touched.
    """
    slurm.refuse_without_slurm("sweep --local -j 2 runs on this machine")
    Path("logs").mkdir(exist_ok=True)
    shared, arrays = _commands(sweep, trials, max_parallel, pack)
    # Held, so that all is written down before a task asks what its trials are.
    job = slurm.submit([*shared[:2], "--hold", *shared[2:]], without=[slurm.GPU_REQUEST])
    submitted: dict[str, list[list[str]]] = {}
    try:
        for command, tasks in arrays:
            submitted[slurm.submit(command, _behind(job, submitted), without=[slurm.GPU_REQUEST])] = tasks
    except UserError:
        slurm.cancel(job)  # and with it what waits for it
        raise
    write_json(sweep.folder / "submissions" / f"{job}.json", sealed({"shared": job, "arrays": submitted}))
    sweep.forget([SHARED, *(trial.name for trial in trials)])
    slurm.release(job)
    yield f"{', '.join(sweep.shared) or 'raw data'}: job {job}"
    for array, tasks in submitted.items():
        yield f"{sum(map(len, tasks))} trials in {len(tasks)} tasks: job {array}"


def show_sweep(sweep: Sweep, trials: list[Trial], max_parallel: int | None, pack: int) -> Iterator[str]:
    """The submissions as lines for a shell."""
    shared, arrays = _commands(sweep, trials, max_parallel, pack)
    yield slurm.show_submission("shared", shared, without=[slurm.GPU_REQUEST])
    names: list[str] = []
    for command, _ in arrays:
        after = _behind("$shared", names)
        names.append(f"$array{len(names) + 1}")
        yield slurm.show_submission(names[-1][1:], command, after, without=[slurm.GPU_REQUEST])


def _behind(shared: str, arrays: Iterable[str]) -> str:
    """Beyond the site's limit arrays come one after the other, so that max_parallel holds for all of them."""
    return f"afterok:{shared}" + "".join(f",afterany:{array}" for array in list(arrays)[-1:])


def _commands(
    sweep: Sweep, trials: list[Trial], max_parallel: int | None, pack: int
) -> tuple[list[str], list[tuple[list[str], list[list[str]]]]]:
    """The submission of what is shared; those of the arrays, each with the names of its trials by task."""
    slurm.refuse_without_script(SCRIPT)
    arguments = [str(sweep.folder), str(Path(sys.executable).parent)]
    shared = slurm.sbatch_command(str(SCRIPT), [*arguments, SHARED], job_name=sweep.name, output="logs/%x_%j.out")
    limit = f"%{max_parallel}" if max_parallel else ""
    arrays = []
    for tasks in _blocks(trials, pack):
        resources = {name: value for stage in sweep.own.values() for name, value in stage.items()}
        options = {"job_name": sweep.name, "array": f"0-{len(tasks) - 1}{limit}"} | sbatch_options(resources)
        arrays.append((slurm.sbatch_command(str(SCRIPT), [*arguments, "trials"], **options), tasks))
    return shared, arrays


def _blocks(trials: list[Trial], pack: int) -> list[list[list[str]]]:
    """Trials by task, and tasks by array."""
    groups = [[trial.name for trial in trials[first : first + pack]] for first in range(0, len(trials), pack)]
    most = slurm.largest_array()
    return [groups[first : first + most] for first in range(0, len(groups), most)]


def run_locally(sweep: Sweep, trials: list[Trial], jobs: int, report: Callable[[str], None]) -> None:
    """Run the sweep on this machine, `jobs` trials at a time. Ctrl-C lets each of them write its checkpoint.

    Raises:
        UserError: what the trials share could not be made.
    """
    names = [trial.name for trial in trials]
    sweep.forget([SHARED, *names])
    stops: list[int] = []
    signals = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(number, lambda number, _: stops.append(number)) for number in signals]
    try:
        report(f"{', '.join(sweep.shared) or 'raw data'}: follow {_log(sweep, SHARED)}")
        _run_side_by_side(sweep, [SHARED], 1, stops, report)
        if not stops and sweep.status(SHARED).state != "finished":
            raise UserError(f"what the trials share is not done; the log: {_log(sweep, SHARED)}")
        _run_side_by_side(sweep, names, jobs, stops, report)
    finally:
        for number, handler in zip(signals, before, strict=True):
            signal.signal(number, handler)


def _run_side_by_side(
    sweep: Sweep, names: list[str], jobs: int, stops: list[int], report: Callable[[str], None]
) -> None:
    """Run tasks until all have ended; when `stops` is no longer empty, ask them to end, and start no more."""
    waiting, running, num_asked = list(names), dict[str, subprocess.Popen](), 0
    while running or (waiting and not stops):
        asked = len(stops)  # once, so that what is pressed in this turn is handed on in the next
        while waiting and len(running) < jobs and not stops:
            name = waiting.pop(0)
            try:
                running[name] = _start(sweep, name)
            except OSError as error:  # others are at work, and are waited for
                report(f"{name}: not started: {describe_error(error)}")
        for name, process in list(running.items()):
            if process.poll() is not None:
                del running[name]
                status = sweep.status(name)
                if status.state in ("waiting", "running"):  # it was killed, or had no room to write it down
                    status.state, status.reason = "interrupted", f"see {_log(sweep, name)}"
                report(f"{name}: {status.state} {status.reason}".rstrip() + f", {status.seconds:.0f} s")
            elif asked > num_asked:
                process.send_signal(signal.SIGINT if num_asked else signal.SIGTERM)
        if asked > num_asked == 0:
            report("stopping; Ctrl-C again ends stages that do not stop by themselves")
        # Of two signals that wait, Python handles SIGINT first: the first has to have been seen before the second.
        time.sleep(1 if asked > num_asked else 0.1)
        num_asked = asked


def _log(sweep: Sweep, name: str) -> Path:
    return sweep.folder / "logs" / f"{name}.log"


def _start(sweep: Sweep, name: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    arguments = [SHARED] if name == SHARED else ["trials", name]
    _log(sweep, name).parent.mkdir(exist_ok=True)
    with _log(sweep, name).open("w") as file:
        return subprocess.Popen(
            [*TASK, str(sweep.folder), *arguments],
            cwd=sweep.base,
            env=environment | own_code(sweep.base),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for us to hand on
        )
