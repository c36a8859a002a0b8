"""What recording costs: one `Run.log` of five metrics, beside a plain JSON line written with one system call.

python benchmarks/tracking_cost.py
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "src"))

import trackstack

METRICS = {"train_loss": 0.123456789, "val_loss": 0.23456789, "val_accuracy": 0.9123, "lr": 0.001, "grad_norm": 1.5}
CALLS, ROUNDS = 2000, 5


def median_microseconds(call: Callable[[int], None]) -> float:
    """Median time of one call."""
    times = []
    for step in range(CALLS):
        began = time.perf_counter_ns()
        call(step)
        times.append(time.perf_counter_ns() - began)
    return statistics.median(times) / 1000


def main() -> None:
    """Alternate both in one run, and print a line per round."""
    print(f"Python {platform.python_version()}, {platform.machine()}, {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as folder:
        os.environ |= {"TRACKSTACK_HOME": folder, "TRACKSTACK_SINKS": ""}
        plain = os.open(Path(folder) / "plain.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        with trackstack.start_run("cost", {}) as run:
            for number in range(ROUNDS):
                line = median_microseconds(
                    lambda step: os.write(plain, json.dumps({"step": step, "values": METRICS}).encode() + b"\n")
                )
                log = median_microseconds(lambda step, first=number * CALLS: run.log(METRICS, first + step))
                print(f"JSON line {line:.1f} us   Run.log {log:.1f} us   ratio {log / line:.2f}")


if __name__ == "__main__":
    main()
