"""What the delivery costs: CPU of all deliverers, for many runs at once, short ones in a row, and a long one.

    python benchmarks/delivery.py at-once [--runs 64]    # SQLite and MLflow, from nothing
    python benchmarks/delivery.py in-a-row [--runs 1000]
    python benchmarks/delivery.py kills [--kills 30]     # kill -9 of the deliverer at random instants, on two hosts
    python benchmarks/delivery.py loop [--seconds 60]    # every back end: from nothing, and beside a deliverer

CPU is counted rather than seconds, as machines are shared. The second host is this one by another name: for root.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent / "src"
sys.path.insert(0, str(SOURCE))

from trackstack.system.activity import process_activity
from trackstack.tracking.delivery.place import Place

SCRIPT = """
import sys, time
import trackstack

names, epochs, pause = sys.argv[1].split(","), int(sys.argv[2]), float(sys.argv[3])
for name in names:
    with trackstack.start_run(name, {"name": name}) as run:
        for epoch in range(epochs):
            values = {"train_loss": 1 / (epoch + 1), "val_loss": 2 / (epoch + 1), "val_accuracy": epoch / epochs}
            run.log(values, epoch)
            time.sleep(pause)
        left = time.monotonic()
print(time.monotonic() - left)
"""
"""Runs, one after the other."""


class Meter:
    """The CPU of every process that was the deliverer of a home, read again and again while it lives."""

    def __init__(self, home: Path):
        self.home = home
        self.seconds: dict[int, float] = {}
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        while self.home.exists():
            self.look()
            time.sleep(0.2)

    def look(self) -> float:
        """CPU seconds so far, user and system."""
        for pid in deliverers(self.home):
            if found := process_activity(pid):
                self.seconds[pid] = max(found.cpu, self.seconds.get(pid, 0.0))
        return sum(self.seconds.values())


def deliverers(home: Path) -> list[int]:
    """The processes that are the deliverers of a home."""
    places = [Place(home, folder) for folder in home.glob("runs/.delivery/*/*/*/")]
    return [pid for place in places if place.is_served() and (pid := place.deliverer())]


@contextlib.contextmanager
def new_home() -> Iterator[Path]:
    """A folder with the script, whose deliverers end with it."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        home = Path(folder)
        (home / "script.py").write_text(SCRIPT)
        yield home
        for pid in deliverers(home):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def start(home: Path, sinks: str, *arguments: object, host: str = "") -> subprocess.Popen:
    """Start a run, on this host or one of another name."""
    dropped = ("TRACKSTACK_", "MLFLOW_", "WANDB_", "DVC_")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
    environment |= {"PYTHONPATH": str(SOURCE), "TRACKSTACK_SINKS": sinks, "TRACKSTACK_SYNC_WAIT": "1800"}
    command = [sys.executable, "-P", "script.py", *map(str, arguments)]
    if host:
        command = ["unshare", "--uts", "sh", "-c", f'hostname {host} && exec "$@"', "-", *command]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, cwd=home, env=environment, stdout=pipe, stderr=pipe, text=True)


def count(home: Path) -> None:
    """Print what arrived."""
    for name in ("project.db", "mlflow.db"):
        with contextlib.closing(sqlite3.connect(home / name)) as connection:
            where = "" if name == "project.db" else " WHERE key NOT LIKE 'system/%'"
            runs = connection.execute("SELECT count(*), status FROM runs GROUP BY status").fetchall()
            points = connection.execute(f"SELECT count(*) FROM metrics{where}").fetchone()[0]
            print(f"{name}: runs {runs}, points {points}")


def at_once(options: argparse.Namespace) -> None:
    """Many runs that start together on an empty home."""
    with new_home() as home:
        meter, began = Meter(home), time.monotonic()
        runs = [start(home, "sqlite,mlflow", f"run-{number}", 50, 0) for number in range(options.runs)]
        outputs = [run.communicate() for run in runs]
        print(f"{options.runs} runs at once: {time.monotonic() - began:.0f} s until the last had exited")
        print(f"longest wait at the end of a run: {max(float(output) for output, _ in outputs):.1f} s")
        print(
            f"exit codes {sorted({run.returncode for run in runs})}, printed {sorted({text for _, text in outputs})}"
        )
        print(f"deliverers: {len(meter.seconds)}, CPU {meter.look():.1f} s")
        count(home)


def in_a_row(options: argparse.Namespace) -> None:
    """Short runs, one after the other."""
    with new_home() as home:
        meter = Meter(home)
        print(*start(home, "sqlite,mlflow", "first", 50, 0).communicate())
        first, names = meter.look(), ",".join(f"run-{number}" for number in range(options.runs))
        print(*start(home, "sqlite,mlflow", names, 50, 0).communicate())
        cpu = meter.look()
        print(f"the first run: {first:.1f} s of CPU, with MLflow's import and its database")
        print(f"{options.runs} short runs: {cpu - first:.1f} s of CPU, {(cpu - first) / options.runs:.3f} s each")
        print(f"deliverers: {len(meter.seconds)}")
        count(home)


def kills(options: argparse.Namespace) -> None:
    """Runs on two hosts, and their deliverers killed again and again; at the end nobody calls `trackstack sync`."""
    instants, killed = random.Random(options.seed), 0
    with new_home() as home:
        runs, number = [], 0
        while killed < options.kills:
            runs = [run for run in runs if run.poll() is None]
            while len(runs) < 4:
                host = "" if number % 2 else "elsewhere"
                runs.append(start(home, "sqlite,mlflow", f"run-{number}", 400, 0.01, host=host))
                number += 1
            time.sleep(instants.uniform(0.2, 10))
            if living := deliverers(home):
                os.kill(instants.choice(living), signal.SIGKILL)
                killed += 1
        errors = sorted({run.communicate()[1] for run in runs})
        print(f"{killed} kills, {number} runs of 1,200 points; printed by the last ones: {errors}")
        count(home)


def loop(options: argparse.Namespace) -> None:
    """One long run with every back end, from nothing, and a second one while the deliverer lingers."""
    sinks = "sqlite,mlflow,tensorboard,wandb"
    with new_home() as home:
        meter, before = Meter(home), 0.0
        for which in ("from nothing", "beside a deliverer"):
            epochs = options.seconds * options.rate
            _, error = start(home, sinks, which, epochs, 1 / options.rate).communicate()
            while any(home.glob("runs/.delivery/*/*/*/waiting/*")):  # its files follow
                time.sleep(0.1)
            cpu = meter.look()
            print(f"{which}: {options.seconds} s, {epochs} steps: {cpu - before:.2f} s of CPU; printed {error!r}")
            before = cpu


def main() -> None:
    """See the top of this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("what", choices=("at-once", "in-a-row", "kills", "loop"))
    parser.add_argument("--runs", type=int)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=int, default=60)
    parser.add_argument("--rate", type=int, default=1, help="records a second")
    options = parser.parse_args()
    options.runs = options.runs or {"at-once": 64, "in-a-row": 1000}.get(options.what)
    {"at-once": at_once, "in-a-row": in_a_row, "kills": kills, "loop": loop}[options.what](options)


if __name__ == "__main__":
    main()
