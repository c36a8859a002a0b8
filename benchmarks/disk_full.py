"""A disk that fills up at many instants of repro and of a sweep: what is said, and does the same command end it?

    python benchmarks/disk_full.py [--instants 10] [--place checkout] [--command repro] [--room KIB] [--after FILE]

The small file system is a tmpfs in the place of the checkout, of TRACKSTACK_HOME, of TMPDIR, or of the folder in
which clones of experiments lie, with room for none, a tenth, two tenths ... of what the command needs; or with so
many KiB as `--room` says. With `--after` there is plenty until that output of the pipeline appears. Then there is
room, and the same command is typed again; where the disk has cut dvc.lock short, which DVC says, `trackstack repair`
before it. Exit code 1 for a traceback of ours, a page in one line, a list of Python or SQL, a process that is left,
or other bytes than undisturbed.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src"), str(ROOT / "tests")]

from support.foreign import build_linear, change, foreign_environment
from support.projects import run_in

COMMANDS = {
    "repro": "dvc repro",
    "temp": "dvc exp run --temp -S params.json:train.seed=1",
    "sweep": "trackstack sweep -S params.json:train.seed=0,1 --local -j 2",
}
PLACES = {"checkout": None, "home": "TRACKSTACK_HOME", "scratch": "TMPDIR", "clones": None}
CLONES = {"temp": ".dvc/tmp/exps", "sweep": "runs/.sweeps"}
OUTPUTS = ("data/train.csv", "data/test.csv", "model.json", "metrics.json", "dvc.lock")
TREES = "git for-each-ref --format='%(refname)' refs/exps | sort | xargs -I+ git rev-parse +^{tree}"
OWN_MOUNTS = ["unshare", "--user", "--map-root-user", "--mount"]
PLENTY, PAGE, BLOCK = 500_000, 500, 4
OF_A_MACHINE = re.compile(r"\[SQL:|INSERT INTO|\[\('")
"""What no person reads: MLflow's complaint about a statement, a list of Python's shutil."""
CUT_LOCK = re.compile(r"dvc\.lock' (is invalid|validation failed)")


class Case:
    """A command, and the place that is small."""

    def __init__(self, command: str, place: str, fresh: Path, folder: Path, after: str | None):
        self.command, self.fresh, self.small = COMMANDS[command], fresh, folder / f"{command}-{place}"
        self.checkout = (self.small if place == "checkout" else folder / "work") / "checkout"
        self.clones = self.checkout / CLONES[command] if place == "clones" else None
        self.after = self.checkout / after if after else None
        small = {variable: str(self.small)} if (variable := PLACES[place]) else {}
        self.environment = foreign_environment(TRACKSTACK_SINKS="sqlite", **small)
        self.small.mkdir()
        run_in(folder, ["mount", "-t", "tmpfs", "none", str(self.small)])

    def used(self) -> int:
        """KiB of the small file system."""
        disk = os.statvfs(self.small)
        return (disk.f_blocks - disk.f_bfree) * disk.f_frsize // 1024

    def leave(self, room: int) -> None:
        """Let so many KiB be free."""
        for _ in range(100):  # others write meanwhile, and the size may not be less than what is used
            size = f"remount,size={max(self.used() + room, BLOCK)}k"
            if run_in(self.small, ["mount", "-o", size, str(self.small)], expect=None).returncode == 0:
                return
        sys.exit(f"{self.small}: cannot be made smaller")

    def begin(self) -> None:
        """A checkout in which nothing has run."""
        self.end()
        for folder in (self.checkout, *self.small.iterdir()):
            shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.fresh, self.checkout, symlinks=True)
        if self.clones:
            self.clones.mkdir(parents=True)
            run_in(self.small, ["mount", "--bind", str(self.small), str(self.clones)])

    def end(self) -> None:
        """Leave nothing mounted in the checkout."""
        if self.clones and self.clones.is_mount():
            run_in(self.small, ["umount", str(self.clones)])

    def run(self, room: int = PLENTY) -> tuple[int, str, int]:
        """Type the command where so many KiB are free; exit code, what is said, and KiB that it took at most."""
        before = most = self.used()
        waits = room != PLENTY and self.after is not None
        self.leave(PLENTY if waits else room)
        with tempfile.TemporaryFile("w+") as said:
            process = subprocess.Popen(
                self.command, shell=True, cwd=self.checkout, env=self.environment, stdout=said, stderr=said
            )
            while process.poll() is None:
                if waits and self.after.exists():
                    self.leave(room)
                    waits = False
                most = max(most, self.used())
                time.sleep(0.001 if waits else 0.01)
            said.seek(0)
            return process.returncode, said.read(), most - before

    def go_on(self) -> list[str]:
        """There is room, and the same command is typed again: what is amiss, or how it went on."""
        code, said, _ = self.run()
        if code and CUT_LOCK.search(said):
            run_in(self.checkout, "trackstack repair", env=self.environment)
            code, said, _ = self.run()
            print("  (trackstack repair)", end="")
        return [f"the same command fails: {said}"] if code else []

    def outcome(self) -> dict[str, str]:
        """Digests of the outputs, and the trees of all experiments."""
        files = [self.checkout / name for name in OUTPUTS if (self.checkout / name).exists()]
        digests = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        return digests | {"experiments": run_in(self.checkout, TREES).stdout}

    def faults(self, said: str) -> list[str]:
        """What must not be, whatever there is no room for."""
        here = [self.checkout, self.small]
        logs = [log.read_text(errors="replace") for folder in here for log in folder.rglob("*.log")]
        ours = any("Traceback" in text and "/trackstack/" in text for text in (said, *logs))
        page = any(len(line) > PAGE for line in said.splitlines())
        machine = OF_A_MACHINE.search(said) is not None
        left = [
            p.pid for p in psutil.process_iter(["cwd"]) if (p.info["cwd"] or "").startswith(tuple(map(str, here)))
        ]
        found = {"a traceback": ours, "a page": page, "a list or SQL": machine}
        return [name for name, is_there in found.items() if is_there] + [f"process {pid} left" for pid in left]


def try_case(case: Case, instants: int, rooms: list[int] | None) -> list[str]:
    """Print what came of each instant; return what went wrong."""
    case.begin()
    code, said, needs = case.run()
    if code:
        sys.exit(f"{case.command}: fails with room, too: {said}")
    whole, wrong = case.outcome(), []
    tenths = {needs * number // instants // BLOCK * BLOCK for number in range(instants)}
    for room in rooms or sorted(tenths):
        case.begin()
        code, said, _ = case.run(room)
        faults = case.faults(said)
        faults += case.go_on() if code else []
        now = case.outcome()
        faults += [f"other bytes: {name}" for name in sorted(now | whole) if now.get(name) != whole.get(name)]
        wrong += faults
        last = said.strip().splitlines()[-1:]
        print(f"  {room:5d} of {needs} KiB: exit {code}; {', '.join(faults) or 'well'}; {last}", flush=True)
    case.end()
    return wrong


def main() -> None:
    """Fill each place under each command, make room, compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--instants", type=int, default=10)
    parser.add_argument("--place", choices=PLACES, action="append")
    parser.add_argument("--command", choices=COMMANDS, action="append")
    parser.add_argument("--room", type=int, action="append", help="KiB, instead of the instants")
    parser.add_argument("--after", choices=OUTPUTS, help="the disk is full as soon as this is there")
    options = parser.parse_args()
    if "OWN_MOUNTS" not in os.environ:
        if subprocess.run([*OWN_MOUNTS, "true"], capture_output=True, check=False).returncode:
            sys.exit("skipped: this machine lets nobody mount a small file system")
        os.execvpe(OWN_MOUNTS[0], [*OWN_MOUNTS, sys.executable, *sys.argv], os.environ | {"OWN_MOUNTS": "1"})
    wrong = []
    with tempfile.TemporaryDirectory() as folder:
        fresh = Path(folder, "fresh")
        fresh.mkdir()
        build_linear(fresh)
        change(fresh, data={"rows": 2000}, train={"epochs": 200})
        run_in(fresh, "git commit -qam 'Larger'")
        for command in options.command or COMMANDS:
            for place in options.place or PLACES:
                if place == "clones" and command not in CLONES:
                    continue
                print(f"{command}, {place}{f', after {options.after}' if options.after else ''}:", flush=True)
                case = Case(command, place, fresh, Path(folder), options.after)
                try:
                    wrong += try_case(case, options.instants, options.room)
                finally:
                    case.end()
                    run_in(fresh, ["umount", str(case.small)])
    sys.exit(bool(wrong))


if __name__ == "__main__":
    main()
