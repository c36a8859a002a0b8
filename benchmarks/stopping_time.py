"""How long a training goes on after it was asked to stop: by a stop file, by SIGTERM, and by a deadline.

    python benchmarks/stopping_time.py [--rounds 5]

The stage `train` of the checkout, with every back end that is on by default, in a home of its own. A deadline counts
from the moment that lies the margin before it, when the training is to end.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from trackstack.system.stopping import DEADLINE_MARGIN_SECONDS, EXIT_INTERRUPTED

STAGE = [sys.executable, "-P", "stages/train.py", "data/cache", "results/model", "results/live"]
DEADLINE_AFTER = 20.0


def seconds_to_stop(how: str, checkout: Path, home: Path) -> float:
    """Start a training, ask it to stop after its first epoch, and wait for its end."""
    settings = {"TRACKSTACK_HOME": str(home), "PYTHONPATH": "src"}
    due = time.time() + DEADLINE_AFTER
    if how == "stop file":
        settings["TRACKSTACK_STOP_FILE"] = str(home / "stop")
    elif how == "deadline":
        settings["TRACKSTACK_DEADLINE"] = str(due + DEADLINE_MARGIN_SECONDS)
    process = subprocess.Popen(
        STAGE,
        cwd=checkout,
        env={**os.environ, **settings},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    for line in process.stdout:
        if line.startswith("epoch   0"):
            break
    if how == "stop file":
        due = time.time()
        (home / "stop").touch()
    elif how == "SIGTERM":
        due = time.time()
        process.send_signal(signal.SIGTERM)
    process.communicate()
    took = time.time() - due
    if process.returncode != EXIT_INTERRUPTED:
        sys.exit(f"{how}: exit code {process.returncode}, expected {EXIT_INTERRUPTED}")
    return took


def main() -> None:
    """Print median and longest time of each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        checkout = Path(folder) / "checkout"
        subprocess.run(["git", "clone", "--quiet", str(ROOT), str(checkout)], check=True)
        (checkout / "data/cache").symlink_to(ROOT / "data/cache")
        params = yaml.safe_load((checkout / "params.yaml").read_text())
        params["train"]["epochs"] = 1000
        (checkout / "params.yaml").write_text(yaml.safe_dump(params))
        for how in ("stop file", "SIGTERM", "deadline"):
            took = []
            for number in range(rounds):
                home = Path(folder) / f"{how} {number}"
                home.mkdir()
                took.append(seconds_to_stop(how, checkout, home))
            print(
                f"{how:9s}: median {statistics.median(took):.2f} s, longest {max(took):.2f} s of {rounds}", flush=True
            )


if __name__ == "__main__":
    main()
