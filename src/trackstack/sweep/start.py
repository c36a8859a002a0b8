"""Start or resume a sweep: as SLURM jobs, or as processes on this machine."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from trackstack import UserError, slurm
from trackstack.outputs import write_json
from trackstack.submit import GPU_REQUEST, stage_options
from trackstack.sweep import Note, Sweep
from trackstack.sweep.trials import Trial

SCRIPT = Path("slurm/sweep.sh")
TASK = [sys.executable, "-P", "-m", "trackstack.sweep.task"]


def to_run(states: dict[str, Note], trials: list[Trial], retry_failed: bool) -> list[Trial]:
    """The trials that nobody has finished and nobody is at."""
    wanted = ("waiting", "interrupted", *(("failed",) if retry_failed else ()))
    return [trial for trial in trials if states[trial.name].state in wanted]


def submit_sweep(
    sweep: Sweep, trials: list[Trial], max_parallel: int | None, pack: int, dry_run: bool = False
) -> Iterator[str]:
    """Submit one job for what the trials share and, behind it, arrays of trials; yield a line for each job."""
    slurm.refuse_without_script(SCRIPT)
    if not dry_run:
        slurm.refuse_without_slurm("sweep --local -j 2 runs on this machine")
    Path("logs").mkdir(exist_ok=True)
    arguments = [str(sweep.folder), str(Path(sys.executable).parent)]
    one = {"job_name": sweep.name, "output": "logs/%x_%j.out"}
    shared = slurm.sbatch_command(str(SCRIPT), [*arguments, "shared"], **one)
    if dry_run:
        yield slurm.show_submission("shared", shared, without=[GPU_REQUEST])
        job = "$shared"
    else:
        job = slurm.submit(shared, without=[GPU_REQUEST])
        yield f"{', '.join(sweep.shared) or 'raw data'}: job {job}"
    options = {name: value for stage in sweep.changed for name, value in stage_options(stage).items()}
    after = f"afterok:{job}"
    arrays: dict[str, list[list[str]]] = {}
    for number, block in enumerate(_blocks(trials, pack), 1):
        limit = f"%{max_parallel}" if max_parallel else ""
        own = {"job_name": sweep.name, "array": f"0-{len(block) - 1}{limit}"}
        command = slurm.sbatch_command(str(SCRIPT), [*arguments, "trials"], **own, **options, hold=not dry_run)
        if dry_run:
            array = f"$array{number}"
            yield slurm.show_submission(array[1:], command, after, without=[GPU_REQUEST])
        else:
            array = slurm.submit(command, after, without=[GPU_REQUEST])
            # A task looks itself up in this note, so the array is let go when the note is there.
            arrays[array] = block
            write_json(sweep.folder / "submissions" / f"{job}.json", {"shared": job, "arrays": arrays})
            slurm.release(array)
            yield f"{sum(map(len, block))} trials in {len(block)} tasks: job {array}"
        # Beyond the site's limit arrays come one after the other, so that max_parallel holds for all of them.
        after = f"afterok:{job},afterany:{array}"


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
    logs = sweep.folder / "logs"
    logs.mkdir(exist_ok=True)
    report(f"{', '.join(sweep.shared) or 'raw data'}: follow {logs / 'shared.log'}")
    if _start(sweep, logs / "shared.log", "shared").wait():
        raise UserError(f"{logs / 'shared.log'}: {_last_line(logs / 'shared.log')}")
    waiting, running = list(trials), dict[str, subprocess.Popen]()
    stopping = False

    def stop(_number: int, _frame: object) -> None:
        nonlocal stopping
        stopping = True
        for process in running.values():
            process.terminate()

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        while running or (waiting and not stopping):
            while waiting and len(running) < jobs and not stopping:
                name = waiting.pop(0).name
                running[name] = _start(sweep, logs / f"{name}.log", "trials", name)
            for name in [name for name, process in running.items() if process.poll() is not None]:
                del running[name]
                note = sweep.note(next(trial for trial in sweep.trials if trial.name == name))
                report(f"{name}: {note.state} {note.reason}".rstrip() + f", {note.seconds:.0f} s")
            time.sleep(0.1)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _start(sweep: Sweep, log: Path, *arguments: str) -> subprocess.Popen:
    environment = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    with log.open("w") as file:
        return subprocess.Popen(
            [*TASK, str(sweep.folder), *arguments],
            cwd=sweep.base,
            env=environment | {"PYTHONPATH": str(sweep.base / "src")},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,  # Ctrl-C is for us to hand on
        )


def _last_line(path: Path) -> str:
    lines = path.read_text(errors="replace").strip().splitlines()
    return lines[-1] if lines else "failed without a word"
