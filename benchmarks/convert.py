"""CSV to Parquet: ours, with checks, rejected rows and profile, beside polars, duckdb and pandas (the guide's way).

    python benchmarks/convert.py [--files 12] [--rounds 5] [--only ours,polars] [--bad-every N] [--copies 1]

A file has a million rows: six floats with six decimals, three integers; 12 files are 780 MB.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

from measuring import alternate, best, in_child, machine, print_table, ratio

FLOATS = ("ax", "ay", "az", "wx", "wy", "wz")
INTEGERS = ("recording", "subject", "label")
ROWS = 1_000_000
WAYS = ("ours", "polars", "polars_checked", "duckdb", "pandas")


def write_file(path: Path, number: int, rows: int = ROWS, bad_every: int = 0) -> None:
    """One CSV file of synthetic recordings; of every `bad_every` rows one has a bad value."""
    import numpy as np
    import polars as pl

    random = np.random.default_rng(number)
    at = np.arange(rows)
    columns = {"recording": at // 20_000 + 50 * number, "subject": np.full(rows, number % 12)}
    columns |= {name: random.normal(size=rows) for name in FLOATS}
    pl.DataFrame(columns | {"label": at // 20_000 % 7}).write_csv(path, float_precision=6)
    if bad_every:
        lines = path.read_bytes().split(b"\n")
        for index in range(bad_every // 2, rows, bad_every):
            lines[index + 1] = lines[index + 1].replace(b",", b",x", 1)
        path.write_bytes(b"\n".join(lines))


def manifest_of(raw: Path, rows: int) -> str:
    """What `ingest` writes; it is not timed here."""
    from pipeline.contract.catalog import Dataset
    from pipeline.contract.settings import USUAL_SETTINGS
    from pipeline.ingest.manifest import build_manifest

    entry = {"path": "data/raw/x", "description": "synthetic", "num_samples": rows, "label": "label"}
    entry |= {"features": [{"name": name} for name in FLOATS], "classes": list(range(7))}
    dataset = Dataset.model_validate(entry | {"group": "subject", "series": "recording", "settings": USUAL_SETTINGS})
    return build_manifest("x", dataset, raw).model_dump_json()


def prepare(way: str, raw: str, out: str) -> Callable[[], object]:
    """Import what a way needs, and return the work."""
    return globals()[f"prepare_{way}"](Path(raw), Path(out))


def prepare_ours(raw: Path, out: Path) -> Callable[[], object]:
    """The stage's own function."""
    from pipeline.ingest.manifest import read_manifest
    from pipeline.parquet.params import Params
    from pipeline.parquet.stage import convert

    manifest = read_manifest(raw.with_suffix(".json"))
    params = Params(compression="zstd", max_rejected=2**31 - 1)
    return lambda: convert(manifest, raw, out / "ours", params)


def polars_frame(raw: Path):
    """The files, lazily, with the types of our contract."""
    import polars as pl

    types = {"recording": pl.Int32, "subject": pl.Int32, **dict.fromkeys(FLOATS, pl.Float32), "label": pl.Int16}
    return pl.scan_csv(sorted(raw.iterdir()), schema=types)


def prepare_polars(raw: Path, out: Path) -> Callable[[], object]:
    """Bare: no check, no profile."""
    frame = polars_frame(raw)
    return lambda: frame.sink_parquet(out / "polars.parquet", compression="zstd")


def prepare_polars_checked(raw: Path, out: Path) -> Callable[[], object]:
    """The same in one pass, with what our profile says and our checks: null, finite, class, counts."""
    import polars as pl

    frame = polars_frame(raw)
    column = pl.col(FLOATS)
    wide = column.cast(pl.Float64)
    figures = [
        column.min().name.suffix("_min"),
        column.max().name.suffix("_max"),
        wide.mean().name.suffix("_mean"),
        wide.std().name.suffix("_std"),
        column.is_finite().all().name.suffix("_finite"),
        pl.all().null_count().name.suffix("_nulls"),
        pl.col("label").is_between(0, 6).all().alias("classes"),
        *((pl.col("label") == number).sum().alias(f"class_{number}") for number in range(7)),
        *((pl.col("subject") == number).sum().alias(f"group_{number}") for number in range(12)),
    ]

    def work() -> None:
        sink = frame.sink_parquet(out / "polars.parquet", compression="zstd", lazy=True)
        pl.collect_all([sink, frame.select(figures)], engine="streaming")

    return work


def prepare_duckdb(raw: Path, out: Path) -> Callable[[], object]:
    """COPY with given types."""
    import duckdb

    types = {"recording": "INTEGER", "subject": "INTEGER", **dict.fromkeys(FLOATS, "FLOAT"), "label": "SMALLINT"}
    source = f"read_csv('{raw}/*.csv', header=true, columns={types})"
    target = f"'{out}/duckdb.parquet' (FORMAT parquet, COMPRESSION zstd)"
    return lambda: duckdb.execute(f"COPY (SELECT * FROM {source}) TO {target}")


def prepare_pandas(raw: Path, out: Path) -> Callable[[], object]:
    """The guide's way."""
    import pandas as pd

    files = sorted(raw.iterdir())
    return lambda: pd.concat(map(pd.read_csv, files)).to_parquet(out / "pandas.parquet")


def compare(raw: Path, out: Path, rounds: int, only: list[str]) -> dict[str, list[dict]]:
    """Let the ways take turns, and print their table."""
    ways = {way: (lambda way=way: in_child(__file__, way, raw, out)) for way in WAYS if way in {"ours", *only}}
    found = alternate(ways, rounds)
    ours = found["ours"]
    rows = [
        [
            name,
            f"{best(results):.2f}",
            f"{best(results, 'cpu_seconds'):.2f}",
            f"{max(result['peak_mb'] for result in results):.0f}",
            f"{ratio(ours, results):.2f}",
            f"{ratio(ours, results, 'cpu_seconds'):.2f}",
        ]
        for name, results in found.items()
    ]
    header = ["way", "s (best)", "CPU s (best)", "peak MB", "ours / it, time", "ours / it, CPU"]
    print_table(f"CSV to Parquet, {sum(file.stat().st_size for file in raw.iterdir()) / 1e6:,.0f} MB", header, rows)
    return found


def write_data(folder: Path, files: int, copies: int = 1, bad_every: int = 0, rows: int = ROWS) -> Path:
    """A raw folder and, beside it, its manifest; `copies` are hard links under other names."""
    raw = folder / "raw"
    raw.mkdir()
    for number in range(files):
        first = raw / f"file_{number:03d}_000.csv"
        write_file(first, number, rows, bad_every)
        for copy in range(1, copies):
            first.with_name(f"file_{number:03d}_{copy:03d}.csv").hardlink_to(first)
    raw.with_suffix(".json").write_text(manifest_of(raw, files * copies * rows))
    return raw


def main() -> None:
    """Write the data, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=int, default=12)
    parser.add_argument("--copies", type=int, default=1, help="hard links to every file; 10 make 8 GB of 12 files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--bad-every", type=int, default=0, help="one bad row in so many")
    parser.add_argument("--only", default=",".join(WAYS), help="comma-separated; ours is always among them")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as folder:
        raw = write_data(Path(folder), options.files, options.copies, options.bad_every)
        compare(raw, Path(folder), options.rounds, options.only.split(","))


if __name__ == "__main__":
    main()
