"""What one file more, changed or less costs of the stages `ingest`, `parquet` and `tensor_cache`, under `dvc repro`.

    python benchmarks/next_month.py [--files 120] [--rows 1000000]

In a clone of this commit, with that many files of 65 MB for a million rows. Then the same after `git checkout` of an
older version, and in a clone that shares DVC's cache. At the end the bytes are compared with those of a run from
nothing. CPU of the stages' own processes, user and system. Takes five times the data's size in $TMPDIR.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(Path(__file__).resolve().parent), str(ROOT / "src")]

import yaml
from convert import FLOATS, write_file
from measuring import print_table

from pipeline.contract.settings import USUAL_SETTINGS

STAGES = ("ingest", "parquet", "tensor_cache")
RAW = "data/raw/monthly"
# DVC starts each stage in $SHELL.
SHELL = """#!{python}
import os, subprocess, sys, time
began = time.monotonic()
process = subprocess.Popen(["/bin/sh", *sys.argv[1:]])
_, status, used = os.wait4(process.pid, 0)
seconds, cpu = time.monotonic() - began, used.ru_utime + used.ru_stime
with open({log!r}, "a") as log:
    print(os.environ["DVC_STAGE"], cpu, seconds, used.ru_maxrss / 1024, file=log)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Used(NamedTuple):
    """What the processes of a stage took."""

    cpu: float
    seconds: float
    peak_mb: float


class Project:
    """A clone with a dataset of months."""

    def __init__(self, folder: Path, origin: Path, rows: int, cache: Path | None = None):
        self.folder, self._rows = folder, rows
        self._log = folder.with_suffix(".log")
        shell = folder.with_suffix(".sh")
        shell.write_text(SHELL.format(python=sys.executable, log=str(self._log)))
        shell.chmod(0o755)
        path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
        self._environment = {**os.environ, "SHELL": str(shell), "PATH": path}
        self._environment.pop("PYTHONDONTWRITEBYTECODE", None)  # else each process compiles the modules anew
        self.run("git", "clone", "--quiet", str(origin), str(folder), at=folder.parent)
        if cache:
            self.run("dvc", "cache", "dir", "--local", str(cache))

    def run(self, *command: str, at: Path | None = None) -> str:
        """What a command printed; the end of the benchmark if it fails."""
        done = subprocess.run(
            command, cwd=at or self.folder, env=self._environment, capture_output=True, text=True, check=False
        )
        if done.returncode:
            sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
        return done.stdout

    def write(self, month: int, seed: int | None = None) -> None:
        """A month's file, in the place of the one that is there: DVC may have linked it to its cache."""
        file = self.folder / RAW / f"month_{month:04d}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.unlink(missing_ok=True)
        write_file(file, month if seed is None else seed, self._rows)

    def remove(self, month: int) -> None:
        """Take a month's file away."""
        (self.folder / RAW / f"month_{month:04d}.csv").unlink()

    def measure(self) -> list[float]:
        """CPU seconds of the stages for the files that are there now, all of which is then committed."""
        return [used.cpu for used in self.update().values()]

    def update(self, *before: str) -> dict[str, Used]:
        """What each stage took for the files that are there now, all of which is then committed."""
        catalog, params = self.folder / "data/catalog.yaml", self.folder / "params.yaml"
        entry = {"path": RAW, "description": "synthetic", "label": "label", "classes": list(range(7))}
        entry |= {"features": [{"name": name} for name in FLOATS], "group": "subject", "series": "recording"}
        number = len(list((self.folder / RAW).iterdir()))
        entry |= {"num_samples": number * self._rows, "settings": USUAL_SETTINGS}
        catalog.write_text(yaml.safe_dump({"datasets": {"monthly": entry}}))
        params.write_text(params.read_text().replace("dataset: sensor_v2", "dataset: monthly"))
        self.run("dvc", "add", "--quiet", RAW)
        used = self.reproduce(*before)
        self.run("git", "add", "--all")
        self.run("git", "-c", "user.name=b", "-c", "user.email=b@b", "commit", "--quiet", "--message=month")
        return {name: used[name] for name in STAGES}

    def reproduce(self, *before: str) -> dict[str, Used]:
        """What each stage that DVC ran took.

        Args:
            before: a command that is to run `dvc repro`, such as `strace` with its options.
        """
        self._log.write_text("")
        self.run(*before, "dvc", "repro", "--quiet", "tensor_cache")
        lines = (line.split() for line in self._log.read_text().splitlines())
        return {name: Used(*map(float, found)) for name, *found in lines}

    def outputs(self) -> dict[str, str]:
        """DVC's hashes of what the stages put out."""
        stages = yaml.safe_load((self.folder / "dvc.lock").read_text())["stages"]
        return {out["path"]: out["md5"] for name in STAGES for out in stages[name]["outs"]}


def main() -> None:
    """A line per change; the end with 1 where the bytes are others."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=120)
    parser.add_argument("--rows", type=int, default=1_000_000)
    options = parser.parse_args()
    rows = []

    def show(what: str, seconds: list[float]) -> None:
        rows.append([what, *(f"{value:.1f}" for value in seconds)])
        print(*rows[-1], flush=True)

    with tempfile.TemporaryDirectory() as temporary:
        home, last = Path(temporary), options.files
        project = Project(home / "project", ROOT, options.rows)
        for month in range(last):
            project.write(month)
        show("from nothing", project.measure())
        first = project.run("git", "rev-parse", "HEAD").strip()
        project.write(last)
        show("one file added", project.measure())
        project.write(last // 2, seed=1000)
        show("one changed", project.measure())
        project.remove(last // 3)
        show("one removed", project.measure())
        project.run("git", "checkout", "--quiet", first)
        project.run("dvc", "checkout", "--quiet", RAW)
        project.write(last // 4, seed=1001)
        show("one changed, after `git checkout` of the first", project.measure())
        clone = Project(home / "clone", project.folder, options.rows, project.folder / ".dvc/cache")
        clone.run("dvc", "checkout", "--quiet", f"{RAW}.dvc")
        clone.write(last)
        show("one added, in a clone with the same cache", clone.measure())
        again = Project(home / "again", ROOT, options.rows)
        (again.folder / "data/raw/monthly").mkdir()
        for file in (clone.folder / RAW).iterdir():
            os.link(file, again.folder / RAW / file.name)
        show("the same from nothing", again.measure())
        print_table("Next month's file", ["", *(f"`{name}`, s" for name in STAGES)], rows)
        same = clone.outputs() == again.outputs()
        print("the same bytes" if same else f"other bytes: {clone.outputs()} and {again.outputs()}")
    sys.exit(not same)


if __name__ == "__main__":
    main()
