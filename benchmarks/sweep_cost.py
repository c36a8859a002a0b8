"""What a trial of a sweep costs over its bare stages: clone, DVC's start and bookkeeping, the experiment's ref.

python benchmarks/sweep_cost.py

In a clone of this checkout's commit, with the sample data: three trials of one epoch, each followed by the same two
stages typed by hand. Seconds of wall clock and of CPU.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

import yaml

from trackstack.cluster.clones import cache_folder, make_clone
from trackstack.cluster.sweep import SHARED, Sweep, Trial
from trackstack.cluster.sweep.local import TASK
from trackstack.cluster.sweep.start import at_work, prepare
from trackstack.cluster.sweep.trials import expand

TRIALS = 3
FIRST = int(time.time()) % 10**8  # seeds that no run cache has seen


def timed(command: list[str] | str, folder: Path) -> tuple[float, float]:
    """Seconds of wall clock and of CPU that a command takes."""
    start, before = time.monotonic(), os.times()
    subprocess.run(command, shell=isinstance(command, str), cwd=folder, check=True, capture_output=True)
    after = os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return time.monotonic() - start, cpu


def bare(sweep: Sweep, trial: Trial) -> tuple[float, float]:
    """The two stages of a trial, without DVC, in the clone that the trials share."""
    params = yaml.safe_load((sweep.base / "params.yaml").read_text())
    params["train"] |= {"epochs": 1, "seed": int(trial.overrides[1].partition("=")[2])}
    (sweep.base / "params.yaml").write_text(yaml.safe_dump(params))
    stages = yaml.safe_load((sweep.base / "dvc.yaml").read_text())["stages"]
    return timed(" && ".join(stages[name]["cmd"] for name in ("train", "evaluate")), sweep.base)


def main() -> None:
    """Print the two medians and their difference."""
    os.environ["TRACKSTACK_SINKS"] = ""
    with tempfile.TemporaryDirectory() as temporary:
        checkout = Path(temporary, "checkout")
        commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
        make_clone(ROOT, commit.stdout.strip(), checkout, cache_folder(ROOT))
        os.chdir(checkout)
        os.environ |= {"TRACKSTACK_HOME": str(checkout), "PYTHONPATH": str(checkout / "src")}
        sweep = prepare(
            expand(["train.epochs=1", f"train.seed=range({FIRST},{FIRST + TRIALS})"], None, None), attempts=1
        )
        with at_work(sweep):
            timed([*TASK, str(sweep.folder), SHARED], sweep.base)
        rows = []
        for trial in sweep.trials:
            trials = timed([*TASK, str(sweep.folder), "trials", trial.name], sweep.base)
            os.environ["TRACKSTACK_HOME"] = str(Path(temporary, trial.name))
            rows.append((*trials, *bare(sweep, trial)))
            os.environ["TRACKSTACK_HOME"] = str(checkout)
        names = ("trial", "trial (CPU)", "bare stages", "bare stages (CPU)")
        medians = dict(zip(names, map(statistics.median, zip(*rows, strict=True)), strict=True))
        for name, seconds in medians.items():
            print(f"{name:18s} {seconds:6.2f} s")
        over = medians["trial"] - medians["bare stages"], medians["trial (CPU)"] - medians["bare stages (CPU)"]
        print(f"a trial costs {over[0]:.2f} s more, {over[1]:.2f} s of CPU")


if __name__ == "__main__":
    main()
