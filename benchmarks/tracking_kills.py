"""A soak: kill -9 at random instants, again and again. Is every point of the journals in every back end once?

    python benchmarks/tracking_kills.py [--rounds 10] [--seed 0]

A round starts three runs at once with all back ends, kills of one the trainer, of one the child that delivers and
of one both, and then `trackstack sync` at a random instant, on one home for all rounds: 4 kills a round.
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.recording import after_sync, kill_while_logging, kill_while_syncing


def main() -> None:
    """Kill, sync, and compare; exit code 1 when a point is missing or doubled."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    instants, began, hit = random.Random(options.seed), time.monotonic(), 0
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        for number in range(options.rounds):
            names = {f"{whom}-{number}": whom for whom in ("parent", "child", "both")}
            hit += kill_while_logging(home, names, instants, seconds=8)
            hit += kill_while_syncing(home, after=instants.uniform(0.2, 4))
        expected, back_ends = after_sync(home)
    kills = f"{hit} of {4 * options.rounds} kills hit a process at work"
    print(f"{kills}, {time.monotonic() - began:.0f} s; {len(expected)} points in the journals")
    for name, points in back_ends.items():
        missing, doubled = len(set(expected) - set(points)), len(points) - len(set(points))
        print(f"{name:11s} {len(points)} points, {missing} missing, {doubled} doubled")
    sys.exit(any(points != expected for points in back_ends.values()))


if __name__ == "__main__":
    main()
