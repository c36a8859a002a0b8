"""`trackstack catalog add` of one file: CPU seconds and peak memory, beside pandas reading and writing the same file.

    python benchmarks/catalog_add.py [--rows 4500000] [--columns 6] [--files 1]

4.5 million rows of six numbers, label, person and recording are 275 MB. Everything that the command starts counts.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from measuring import machine, print_table

ROOT = Path(__file__).resolve().parent.parent
PANDAS = (
    "import sys, pandas; from pathlib import Path\n"
    "for file in sorted(Path(sys.argv[1]).iterdir()): pandas.read_csv(file).to_csv(sys.argv[2], index=False)"
)


def write_files(folder: Path, rows: int, columns: int, files: int) -> int:
    """Synthetic recordings; how many bytes they are."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(0)
    for number in range(files):
        at = np.arange(rows // files) + number * (rows // files)
        values: dict = {f"x{column}": random.normal(size=len(at)).round(5) for column in range(columns)}
        recording = at // 4500
        values["label"] = np.array(["run", "sit", "walk"])[recording % 3]
        values |= {"subject": recording % 20, "recording": recording}
        pl.DataFrame(values).write_csv(folder / f"part_{number:04d}.csv")
    return sum(file.stat().st_size for file in folder.iterdir())


def measure(command: list[str], cwd: Path) -> tuple[float, float]:
    """CPU seconds of the command and what it started, and MiB of the largest of these processes."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.Popen(command, cwd=cwd, env=environment, stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        raise SystemExit(f"{command[0]} failed")
    return used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> None:
    """Measure both, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=4_500_000)
    parser.add_argument("--columns", type=int, default=6)
    parser.add_argument("--files", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        raw, clone = Path(folder) / "raw", Path(folder) / "clone"
        raw.mkdir()
        # In a process of its own: what this one holds would count as the peak of those that it starts.
        with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
            size = pool.submit(write_files, raw, chosen.rows, chosen.columns, chosen.files).result()
        subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
        options = ["--name", "big", "--label", "label", "--group", "subject", "--series", "recording", "--yes"]
        add = [sys.executable, "-m", "trackstack.cli", "catalog", "add", str(raw), *options]
        ours = measure(add, clone)
        pandas = measure([sys.executable, "-c", PANDAS, str(raw), str(Path(folder) / "out.csv")], clone)
    rows = [
        ["catalog add", f"{ours[0]:.1f}", f"{ours[1]:.0f}", f"{ours[0] / pandas[0]:.2f}"],
        ["pandas", f"{pandas[0]:.1f}", f"{pandas[1]:.0f}", "1"],
    ]
    print(machine())
    files = f"{chosen.files} file{'s' * (chosen.files > 1)}"
    print_table(f"catalog add, {files}, {size / 1e6:,.0f} MB", ["way", "CPU s", "peak MiB", "CPU / pandas"], rows)


if __name__ == "__main__":
    main()
