"""CPU and memory of `trackstack runs` in a home of many runs, one of them damaged; each command is a new process.

$ python benchmarks/many_runs.py --runs 10000 --epochs 100
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "src"))

from trackstack.tracking.journal import line_of
from trackstack.tracking.packages import installed_packages

METRICS = ("train_loss", "val_loss", "val_accuracy", "val_f_beta", "lr")
YEAR = 365 * 24 * 3600


def main() -> None:
    """Make the home, and print a line per command."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=10_000)
    parser.add_argument("--epochs", type=int, default=100)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        keys = make_home(home, options.runs, options.epochs)
        commands = [
            ["list", "--last", "1"],
            ["list", "--last", "1"],
            ["list"],
            ["list", "--where", 'val_accuracy > 0.9 and train.model == "cnn"'],
            ["list", "--sort", "best.val_loss", "--columns", "train.lr,val_loss,best.val_loss"],
            ["show", keys[options.runs // 2][:9]],
            ["compare", keys[0], keys[-1]],
            ["best", "--by", "val_accuracy"],
        ]
        for number, command in enumerate(commands):
            cpu, memory, lines = measured(home, command)
            how = "  (makes the index)" if number == 0 else ""
            print(f"{cpu:6.2f} s  {memory:4.0f} MB  {lines:6} lines  runs {' '.join(command)}{how}", flush=True)


def make_home(home: Path, runs: int, epochs: int) -> list[str]:
    """Runs of a year, the tenth of them with a damaged line; their ids."""
    chance, packages, now = random.Random(0), installed_packages(), time.time()
    keys = [f"r{chance.getrandbits(48):012x}" for _ in range(runs)]
    for number, key in enumerate(keys):
        started = round(now - YEAR + number * YEAR / runs, 3)
        folder = home / "runs" / key
        folder.mkdir(parents=True)
        lines = [line_of(start(key, number, started, packages, chance, home))]
        for step in range(epochs):
            values = {name: chance.random() for name in METRICS}
            lines.append(line_of({"type": "metrics", "time": started + step, "step": step, "values": values}))
        lines.append(line_of({"type": "end", "time": started + epochs, "status": "finished", "error": None}))
        if number == 9:
            lines[5] = lines[5].replace(b"0.", b"1.", 1)
        journal = folder / "journal-1.jsonl"
        journal.write_bytes(b"".join(lines))
        (folder / "lease.lock").touch()
        (folder / "sync.json").write_text('{"ended": [1]}')
        for path in (journal, folder):
            os.utime(path, (started + epochs, started + epochs))
    return keys


def start(
    key: str, number: int, time: float, packages: dict[str, str], chance: random.Random, home: Path
) -> dict[str, Any]:
    """A start record with as many parameters as the reference pipeline has."""
    sections = ("ingest", "parquet", "tensor_cache", "evaluate")
    params: dict[str, Any] = {name: {f"value_{i}": i / 7 for i in range(8)} for name in sections}
    model = ("cnn", "mlp")[number % 2]
    params["train"] = {"lr": chance.choice((0.001, 0.003)), "seed": number, "model": model, "epochs": 100}
    stage = {"stage": "train", "deps": [], "params": {"params.yaml": params}, "stages": {}, "data": []}
    return {
        **{"type": "start", "time": time, "run": key, "attempt": 1, "stage": "train", "series": 1},
        **{"name": f"run-{number}", "params": params, "tags": {"sweep": f"s{number // 100}"}, "data": None},
        **{"upstream": stage, "environment": {"user": ("ada", "bob")[number % 2], "packages": packages}},
        "destinations": {"sqlite": {"path": str(home / "project.db")}},
    }


def measured(home: Path, command: list[str]) -> tuple[float, float, int]:
    """CPU seconds, MB of memory and lines of a command."""
    environment = {**os.environ, "TRACKSTACK_HOME": str(home), "PYTHONPATH": str(ROOT / "src")}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles the modules anew
    with tempfile.TemporaryFile() as output:
        process = subprocess.Popen(
            [sys.executable, "-P", "-m", "trackstack.cli", "runs", *command],
            **{"cwd": home, "env": environment, "stdout": output, "stderr": subprocess.DEVNULL},
        )
        _, status, used = os.wait4(process.pid, 0)
        output.seek(0)
        lines = output.read().count(b"\n")
    if status:
        sys.exit(f"{command} ended with {status}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1e3, lines


if __name__ == "__main__":
    main()
