"""What tracking costs a training loop of about a minute: every back end on, beside the same loop without any of it.

    python benchmarks/tracking_overhead.py [--pairs 3] [--steps 11000]

Each loop is a process of its own with an empty home and one thread, and both kinds alternate. The work is a fixed
number of training steps; every tenth logs five metrics, and every hundredth flushes as at an epoch's end. Wall time
tells what the user waits, the trainer's own CPU time what the loop itself does more, on a machine that is not idle.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SOURCE))

SINKS = "sqlite,mlflow,tensorboard,wandb"
LOOP_LIMIT, BLOCK_LIMIT = 1.01, 1.5


class NoRun:
    """Takes what a run takes, and does nothing."""

    def log(self, values: dict[str, float], step: int) -> None:
        """Nothing."""

    def flush(self) -> None:
        """Nothing."""


@contextlib.contextmanager
def no_run() -> Iterator[NoRun]:
    """In the place of `trackstack.start_run`."""
    yield NoRun()


def train(steps: int, tracked: bool) -> dict[str, float]:
    """Run the loop; seconds that it took, on the clock and of this process's CPU, and what came before and after."""
    import torch

    import trackstack

    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(256, 512), torch.nn.ReLU(), torch.nn.Linear(512, 10))
    optimizer = torch.optim.AdamW(model.parameters())
    inputs_BC, labels_B = torch.randn(512, 256), torch.randint(10, (512,))
    began = time.perf_counter()
    with trackstack.start_run("overhead", {"steps": steps}) if tracked else no_run() as run:
        entered, cpu = time.perf_counter(), time.process_time()
        for step in range(steps):
            loss = torch.nn.functional.cross_entropy(model(inputs_BC), labels_B)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            value = loss.item()
            if step % 10 == 9:
                run.log({"train_loss": value, "val_loss": value, "val_accuracy": 0.5, "lr": 0.001, "norm": 1.0}, step)
            if step % 100 == 99:
                run.flush()
        left, cpu = time.perf_counter(), time.process_time() - cpu
    return {"wall": left - entered, "cpu": cpu, "blocks": entered - began + time.perf_counter() - left}


def measure(steps: int, tracked: bool) -> dict[str, float]:
    """Do it in a new process on an empty home."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        dropped = ("TRACKSTACK_", "MLFLOW_", "WANDB_", "DVC_")
        environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        environment |= {"TRACKSTACK_SINKS": SINKS, "OMP_NUM_THREADS": "1"}
        command = [
            sys.executable,
            "-P",
            __file__,
            "--steps",
            str(steps),
            "--inside",
            "tracked" if tracked else "bare",
        ]
        done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.PIPE, check=True)
        return json.loads(done.stdout)


def main() -> None:
    """Alternate both kinds and print the ratios of their medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--steps", type=int, default=11_000)
    parser.add_argument("--inside", choices=("tracked", "bare"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.inside:
        print(json.dumps(train(options.steps, options.inside == "tracked")))
        return
    measured: dict[bool, list[dict[str, float]]] = {True: [], False: []}
    for pair in range(options.pairs):
        for tracked in (pair % 2 == 0, pair % 2 == 1):
            figures = measure(options.steps, tracked)
            measured[tracked].append(figures)
            print("tracked" if tracked else "bare   ", *(f"{n} {s:6.2f} s" for n, s in figures.items()), flush=True)
    for clock in ("wall", "cpu"):
        tracked, bare = (statistics.median(figures[clock] for figures in measured[kind]) for kind in (True, False))
        print(f"loop, {clock}: {tracked / bare:.3f} times the bare loop (limit {LOOP_LIMIT})")
    blocks = statistics.median(figures["blocks"] for figures in measured[True])
    print(f"before and after the loop: {blocks:.2f} s (limit {BLOCK_LIMIT} s)")


if __name__ == "__main__":
    main()
