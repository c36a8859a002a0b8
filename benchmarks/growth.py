"""How the stages before training grow with the data, and what a sweep over folds and windows adds to DVC's cache.

    python benchmarks/growth.py [--values 6,7,8] [--files 1,100,10000]
    python benchmarks/growth.py --sweep [--gigabytes 1]

By `dvc repro tensor_cache` in clones of this commit. First 10^6, 10^7 and 10^8 values in ten files, then 10^7 in as
many files as are named: what the stages' own processes take, imports included. Or, with `--sweep`, a signal of that
size, then each of five folds with each of three windows: what DVC's cache grows by, which stages run, and how often a
file of rows is opened, as `strace` sees it. Takes five times the data's size in $TMPDIR.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

from convert import FLOATS
from measuring import machine, print_table
from next_month import RAW, ROOT, STAGES, Project

FILES = 10
FOLDS, WINDOWS = range(5), (50, 100, 150)
OPENS = ("strace", "-f", "--seccomp-bpf", "-qq", "-e", "trace=open,openat,openat2", "-o")
ROWS = (".csv", ".parquet")


class Grown(Project):
    """A clone with a dataset of so many values, in files that differ in a line from one of twelve."""

    def __init__(self, folder: Path, values: int, files: int):
        super().__init__(folder, ROOT, values // len(FLOATS) // files)
        self._texts = [self._text(number) for number in range(min(files, 12))]
        for number in range(files):
            self.write(number)
        self.set_param("window", "null", 100)
        self.megabytes = sum(file.stat().st_size for file in (self.folder / RAW).iterdir()) / 1e6

    def write(self, month: int, seed: int | None = None) -> None:
        """A file with a first row of its own."""
        header, first, rest = self._texts[month % 12].split(b"\n", 2)
        fields = first.split(b",")
        fields[2] = b"%.6f" % ((seed or month) / 1e6)
        file = self.folder / RAW / f"month_{month:05d}.csv"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\n".join([header, b",".join(fields), rest]))

    def _text(self, number: int) -> bytes:
        import numpy as np
        import polars as pl

        at, random = np.arange(self._rows), np.random.default_rng(number)
        recording = at // 20_000 + number
        columns = {"recording": recording, "subject": recording % 12}
        columns |= {name: random.normal(size=self._rows) for name in FLOATS}
        text = pl.DataFrame(columns | {"label": at // 20_000 % 7}).write_csv(float_precision=6)
        return text.encode()

    def set_param(self, name: str, old: object, new: object) -> None:
        """Change a parameter of `tensor_cache`."""
        file = self.folder / "params.yaml"
        file.write_text(file.read_text().replace(f"  {name}: {old} ", f"  {name}: {new} ", 1))

    def rows_opened(self, trace: Path) -> int:
        """How often `strace` saw one of the files of rows opened, here or under its name in DVC's cache."""
        folders = (json.loads(file.read_text()) for file in (self.folder / ".dvc/cache").rglob("*.dir"))
        rows = {one["md5"][2:] for folder in folders for one in folder if one["relpath"].endswith(ROWS)}
        opened = (Path(name) for name in re.findall(r'"(.*?)"', trace.read_text(errors="replace")))
        return sum(1 for path in opened if path.suffix in ROWS or path.name in rows)

    def cache_bytes(self) -> int:
        """Of all files in DVC's cache."""
        return sum(file.stat().st_size for file in (self.folder / ".dvc/cache").rglob("*") if file.is_file())


def compare_sizes(cases: list[tuple[int, int]]) -> None:
    """A line per number of values and files."""
    rows = []
    for values, files in cases:
        with tempfile.TemporaryDirectory() as temporary:
            project = Grown(Path(temporary) / "project", values, files)
            used = project.update()
        row = [f"{values:.0e}", f"{files:,}", f"{project.megabytes:,.0f}"]
        for name in STAGES:
            row += [f"{used[name].cpu:.1f}", f"{used[name].seconds:.1f}", f"{used[name].peak_mb:.0f}"]
        rows.append(row)
        print(*row, flush=True)
    each = (f"{name}, {what}" for name in STAGES for what in ("CPU s", "s", "peak MB"))
    print_table("Growth", ["values", "files", "CSV, MB", *each], rows)


def sweep(gigabytes: float) -> bool:
    """Whether no setting had CSV or Parquet read; a line for each."""
    with tempfile.TemporaryDirectory() as temporary:
        project = Grown(Path(temporary) / "project", int(gigabytes * 1e9) // 4, FILES)
        trace = Path(temporary) / "opened"
        project.update(*OPENS, str(trace))
        print(f"from nothing CSV or Parquet was opened {project.rows_opened(trace):,} times")
        files = (project.folder / "data/cache/signal").iterdir()
        signal = sum(file.stat().st_size for file in files)
        first = before = project.cache_bytes()
        print(f"signal {signal / 1e6:,.0f} MB, cache {first / 1e6:,.0f} MB", flush=True)
        last, opened = {"window": 100, "fold": 0}, 0
        for window in WINDOWS:
            for fold in FOLDS:
                for name, value in {"window": window, "fold": fold}.items():
                    project.set_param(name, last[name], value)
                    last[name] = value
                used = project.reproduce(*OPENS, str(trace))
                rows_opened, after = project.rows_opened(trace), project.cache_bytes()
                opened += rows_opened
                took = ", ".join(f"{name} {one.cpu:.1f} s of CPU, {one.peak_mb:.0f} MB" for name, one in used.items())
                print(f"window {window}, fold {fold}: {took or 'nothing ran'};", end=" ")
                print(f"cache + {after - before:,} bytes; CSV or Parquet opened {rows_opened} times", flush=True)
                before = after
        print(f"cache + {(before - first) / 1e6:.2f} MB; CSV or Parquet opened {opened} times")
    return not opened


def main() -> None:
    """Either of both; exit code 1 when a sweep reads rows again."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--values", default="6,7,8", help="powers of ten")
    parser.add_argument("--files", default="1,100,10000")
    parser.add_argument("--sweep", action="store_true")
    parser.add_argument("--gigabytes", type=float, default=1)
    options = parser.parse_args()
    print(machine())
    if options.sweep:
        sys.exit(not sweep(options.gigabytes))
    cases = [(10 ** int(power), FILES) for power in options.values.split(",") if power]
    compare_sizes(cases + [(10**7, int(files)) for files in options.files.split(",") if files])


if __name__ == "__main__":
    main()
