"""Kill `dvc repro` anywhere, over and over: does it always end with the bytes of an undisturbed run?

    python benchmarks/kill_anywhere.py [--kills 50] [--seed 0] [--project FOLDER] [--update FILE] [--phases a,b]

Each time a copy of a small project, or of any DVC repository, is reproduced from nothing, without a run cache that
could answer for it. In one phase after the other, at an instant drawn over it, `dvc` alone, the running stage or the
whole group is killed.
Then what the docs say: `trackstack repair` and `dvc repro`. A phase is a stage, or DVC's own work around it: hashing,
links, lock writing.

With `--update` the project is reproduced first, then the first two rows of one raw file change places, and what is
killed is the `dvc repro` that takes the rest from the previous outputs. Expected are the bytes of a run from nothing.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from itertools import chain
from pathlib import Path

import psutil
import yaml

ROOT = Path(__file__).resolve().parent.parent
VICTIMS = ("dvc", "stage", "group")
KEPT_PARTS = "data/.processed.parts.partial/*/*/summary.*"


def environment() -> dict[str, str]:
    """Of this process without its settings; checkpoints often enough for a training of seconds."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DVC_", "TRACKSTACK_"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    return kept | {"PATH": path, "TRACKSTACK_SINKS": "", "TRACKSTACK_CHECKPOINT_SECONDS": "0.5"}


def make_project(folder: Path) -> Path:
    """The checkout as it is committed, with three epochs on the small dataset, nothing of it reproduced yet."""
    project = folder / "origin"
    subprocess.run(["git", "clone", "--quiet", str(ROOT), str(project)], check=True)
    params = yaml.safe_load((project / "params.yaml").read_text())
    params["dataset"] = "sensor_v1"
    params["train"] |= {"epochs": 3, "batch_size": 256, "threads": 1}
    params["tensor_cache"] |= {"stride": 100}
    (project / "params.yaml").write_text(yaml.safe_dump(params, sort_keys=False))
    run(project, "dvc config cache.type copy && dvc pull -q data/raw/sensor_v1.dvc")
    run(project, "git -c user.name=b -c user.email=b@localhost commit -qam Small")
    return project


def run(project: Path, command: str) -> str:
    """The output of a command, which must succeed."""
    done = subprocess.run(
        command, shell=True, cwd=project, env=environment(), capture_output=True, text=True, timeout=600, check=False
    )
    if done.returncode:
        sys.exit(f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}")
    return done.stdout


@functools.cache
def outputs(project: Path) -> dict[str, list[Path]]:
    """What the stages write, by stage, in the order of dvc.yaml."""
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    written: dict[str, list[Path]] = {name: [] for name in stages}
    for name, stage in stages.items():
        for out in chain(*(stage.get(kind, []) for kind in ("outs", "metrics", "plots"))):
            written[name].append(project / (out if isinstance(out, str) else next(iter(out))))
    return written


def digests(project: Path) -> dict[str, str]:
    """Every output's digest, and that of dvc.lock."""
    paths = [path for group in outputs(project).values() for path in group]
    files = [file for path in paths for file in ([path] if path.is_file() else path.rglob("*")) if file.is_file()]
    found = {str(file.relative_to(project)): file.read_bytes() for file in files if not file.name.startswith(".")}
    # The order of its stages is that in which they ran.
    found["dvc.lock"] = json.dumps(yaml.safe_load((project / "dvc.lock").read_text()), sort_keys=True).encode()
    return {name: hashlib.sha256(content).hexdigest() for name, content in found.items()}


def begin(project: Path) -> subprocess.Popen:
    """`dvc repro`, in a process group of its own."""
    quiet = subprocess.DEVNULL
    return subprocess.Popen(
        ["dvc", "repro"], cwd=project, env=environment(), stdout=quiet, stderr=quiet, start_new_session=True
    )


def phase_lengths(project: Path) -> dict[str, float]:
    """Seconds of each phase of an undisturbed `dvc repro`."""
    lengths: dict[str, float] = {}
    process, before = begin(project), time.monotonic()
    while process.poll() is None:
        time.sleep(0.01)
        phase, now = phase_of(process, project), time.monotonic()
        lengths[phase] = lengths.get(phase, 0) + now - before
        before = now
    if process.returncode:
        sys.exit(f"dvc repro: exit code {process.returncode}")
    return lengths


def kill_once(project: Path, wanted: str, delay: float, victim: str) -> tuple[str, str] | None:
    """Kill `dvc repro` some seconds into a phase; who was killed in which phase, None when it had ended before."""
    process = begin(project)
    while process.poll() is None and phase_of(process, project) != wanted:
        time.sleep(0.01)
    time.sleep(delay)  # the instant, not a wait
    if process.poll() is not None:
        return None
    phase, inside = phase_of(process, project), stage_processes(process)
    if victim == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif victim == "stage" and inside:
        for one, _ in inside:
            with contextlib.suppress(psutil.NoSuchProcess):
                one.kill()
    else:
        victim = "dvc"
        process.kill()
    process.wait(120)
    return victim, phase


def phase_of(process: subprocess.Popen, project: Path) -> str:
    """The stage that is executed; else what DVC's work follows, told by the last output that lies there."""
    if inside := stage_processes(process):
        return inside[0][1]
    writing = {stage: paths for stage, paths in outputs(project).items() if paths}
    there = [stage for stage, paths in writing.items() if all(path.exists() for path in paths)]
    return f"dvc after {there[-1]}" if there else f"dvc before {next(iter(writing))}"


def stage_processes(process: subprocess.Popen) -> list[tuple[psutil.Process, str]]:
    """The shell of a stage and what it started, each with the stage's name."""
    try:
        children = psutil.Process(process.pid).children(recursive=True)
    except psutil.NoSuchProcess:
        return []
    return [(child, stage) for child in children if (stage := stage_of(child))]


def stage_of(process: psutil.Process) -> str | None:
    """The stage that a process executes."""
    try:
        return process.environ().get("DVC_STAGE")
    except psutil.Error:
        return None


def change_a_file(project: Path, name: str) -> None:
    """Reproduce the project, and swap two rows of a raw file."""
    run(project, "dvc repro")
    file = project / name
    header, first, second, rest = file.read_bytes().split(b"\n", 3)
    file.unlink()  # DVC may have linked it to its cache
    file.write_bytes(b"\n".join([header, second, first, rest]))
    run(project, f"dvc add {file.parent}")


def copy_of(origin: Path, folder: Path) -> Path:
    """The project as it is, but what a stage puts out is known to no run cache."""
    copy = folder / "copy"
    shutil.rmtree(copy, ignore_errors=True)
    shutil.copytree(origin, copy, symlinks=True)
    for path in (copy / ".dvc/cache/runs", copy / "runs"):
        shutil.rmtree(path, ignore_errors=True)
    return copy


def fresh_copy(origin: Path, folder: Path) -> Path:
    """A copy of the project without any output."""
    copy = copy_of(origin, folder)
    for path in chain(*outputs(copy).values(), [copy / "dvc.lock"]):
        path.unlink(missing_ok=True) if path.is_file() else shutil.rmtree(path, ignore_errors=True)
    return copy


def main() -> None:
    """Kill, mend, reproduce and compare; exit code 1 when a single byte differs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--project", type=Path, help="one of your own; by default a clone of this one, made smaller")
    parser.add_argument("--update", help="a raw file, from the project's folder, to be changed before the kills")
    parser.add_argument("--phases", help="comma-separated; by default all")
    arguments = parser.parse_args()
    draw, hit, bad = random.Random(arguments.seed), Counter(), 0
    with tempfile.TemporaryDirectory() as name:
        origin, copy = arguments.project or make_project(Path(name)), fresh_copy
        expected: dict[str, str] = {}
        if arguments.update:
            change_a_file(origin, arguments.update)
            from_nothing = fresh_copy(origin, Path(name))
            run(from_nothing, "dvc repro")
            copy, expected = copy_of, digests(from_nothing)
        undisturbed = copy(origin, Path(name))
        lengths = phase_lengths(undisturbed)
        expected = expected or digests(undisturbed)
        if digests(undisturbed) != expected:
            sys.exit("undisturbed: other bytes than from nothing")
        print(f"undisturbed: {sum(lengths.values()):.1f} s, {len(expected)} files", flush=True)
        missing = set(outputs(undisturbed)) - set(lengths)
        if missing and not arguments.update:
            sys.exit(f"undisturbed: no {', '.join(sorted(missing))} was executed, so nothing in it could be killed")
        phases = arguments.phases.split(",") if arguments.phases else list(lengths)
        if unknown := set(phases) - set(lengths):
            sys.exit(f"--phases: no {', '.join(sorted(unknown))}; expected of {', '.join(lengths)}")
        wanted = [(phase, victim) for phase in phases for victim in VICTIMS]
        draw.shuffle(wanted)
        wanted.sort(key=lambda pair: pair[0] != "train")  # first what has most to lose
        for number in range(arguments.kills):
            phase, victim = wanted[number % len(wanted)]
            for _ in range(50):
                project = copy(origin, Path(name))
                if killed := kill_once(project, phase, draw.uniform(0, lengths[phase]), victim):
                    break
            else:
                sys.exit(f"{phase}: over each time before the kill")
            hit[killed[1]] += 1
            repaired = run(project, "trackstack repair").strip().replace("\n", "; ")
            kept = len(list(project.glob(KEPT_PARTS)))
            run(project, "dvc repro")
            same = digests(project) == expected and not list(project.glob(KEPT_PARTS))
            bad += not same
            verdict = "same bytes" if same else "DIFFERENT"
            print(
                f"{number + 1:3d}  {killed[0]:5s} in {killed[1]:20s} {verdict}  {kept} finished parts  {repaired}",
                flush=True,
            )
    missed = sorted(set(phases) - set(hit))
    print(f"{arguments.kills} kills, {bad} with other bytes; phases hit: {dict(hit)}; missed: {missed}")
    # Fewer kills than there are phases and victims cannot hit every phase.
    sys.exit(bool(bad or (missed and arguments.kills >= len(wanted))))


if __name__ == "__main__":
    main()
