"""The guide's table (size and read time of CSV, Parquet and cache), and how the data path grows with the data.

python benchmarks/formats.py [--rounds 5] [--largest 8]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

import convert
import numpy as np
import pandas as pd
import torch
from measuring import alternate, best, in_child, machine, print_table, ratio, timed

from pipeline.contract.catalog import Dataset
from pipeline.contract.layout import ROWS_FOLDER
from pipeline.contract.settings import USUAL_SETTINGS
from pipeline.ingest.manifest import build_manifest
from pipeline.parquet.params import Params as ParquetParams
from pipeline.parquet.stage import convert as to_parquet
from pipeline.tensor_cache.params import Params as TensorCacheParams
from pipeline.tensor_cache.stage import build
from pipeline.windows.dataset import open_cache
from pipeline.windows.layout import SIGNAL_FOLDER

ROWS, COLUMNS = 100_000, 100
WINDOWS = TensorCacheParams(window=200, stride=50, folds=3, fold=0, validation=True)


def compare_formats(folder: Path, rounds: int) -> None:
    """100,000 rows of 100 columns, the way the guide has them and the way we have them."""
    names = [f"f{number}" for number in range(COLUMNS)]
    frame = pd.DataFrame(np.random.default_rng(0).normal(size=(ROWS, COLUMNS)).round(6), columns=names)
    frame = frame.assign(recording=np.arange(ROWS) // 1000, subject=np.arange(ROWS) // 10_000, label="a")
    (folder / "raw").mkdir()
    raw = folder / "raw/all.csv"
    frame.to_csv(raw, index=False)
    entry = {"path": "data/raw/x", "description": "", "num_samples": ROWS, "label": "label", "classes": ["a", "b"]}
    entry |= {"group": "subject", "series": "recording", "features": [{"name": name} for name in names]}
    entry |= {"settings": USUAL_SETTINGS}
    manifest = build_manifest("x", Dataset.model_validate(entry), folder / "raw")
    to_parquet(manifest, folder / "raw", folder / "processed", ParquetParams(compression="zstd", max_rejected=0))
    build(folder / "processed", folder / "cache", WINDOWS)
    frame.to_parquet(folder / "guide.parquet")
    tensors = {"features": torch.tensor(frame[names].values, dtype=torch.float32), "labels": torch.zeros(ROWS)}
    torch.save(tensors, folder / "guide.pt")

    def open_and_read() -> float:
        return float(open_cache(folder / "cache").signal.sum())

    ways = {
        "CSV, pandas": (raw, lambda: pd.read_csv(raw)),
        "Parquet, the guide's": (folder / "guide.parquet", lambda: pd.read_parquet(folder / "guide.parquet")),
        "Parquet, ours": (
            folder / "processed" / ROWS_FOLDER,
            lambda: pd.read_parquet(folder / "processed" / ROWS_FOLDER),
        ),
        "PyTorch cache (.pt), the guide's": (folder / "guide.pt", lambda: torch.load(folder / "guide.pt")),
        "tensor cache, ours: opened": (folder / "cache" / SIGNAL_FOLDER, lambda: open_cache(folder / "cache")),
        "tensor cache, ours: every value read": (folder / "cache" / SIGNAL_FOLDER, open_and_read),
    }
    found = alternate({name: (lambda read=read: timed(read)) for name, (_, read) in ways.items()}, rounds)
    rows = [
        [
            name,
            f"{size(file) / 1e6:.1f}",
            f"{best(found[name]) * 1e3:,.1f}",
            f"{ratio(found['CSV, pandas'], found[name]):,.0f}",
        ]
        for name, (file, _) in ways.items()
    ]
    header = ["format", "MB", "read, ms", "times faster than CSV"]
    print_table(f"{ROWS:,} rows of {COLUMNS} columns", header, rows)


def prepare(step: str, folder: str) -> Callable[[], object]:
    """Run in a child: one step of the data path."""
    if step == "parquet":
        return convert.prepare_ours(Path(folder) / "raw", Path(folder))
    return lambda: build(Path(folder) / "ours", Path(folder) / "cache", WINDOWS)


def compare_sizes(largest: int) -> None:
    """Time and memory of both steps from 10^5 values on, ten times as many each time."""
    rows = []
    for power in range(5, largest + 1):
        num_rows = 10**power // len(convert.FLOATS)
        files = max(3, -(-num_rows // convert.ROWS))
        with tempfile.TemporaryDirectory() as name:
            raw = convert.write_data(Path(name), files, rows=num_rows // files)
            row = [f"10^{power}", f"{sum(file.stat().st_size for file in raw.iterdir()) / 1e6:,.0f}"]
            for step in ("parquet", "tensor_cache"):
                result = in_child(__file__, step, name)
                row += [f"{result['seconds']:.2f}", f"{result['peak_mb']:.0f}"]
            rows.append(row)
    header = ["values", "CSV, MB", "parquet, s", "peak MB", "tensor_cache, s", "peak MB"]
    print_table("Growth", header, rows)


def size(path: Path) -> int:
    """The bytes of a file, or of all files in a folder."""
    return sum(file.stat().st_size for file in path.iterdir()) if path.is_dir() else path.stat().st_size


def main() -> None:
    """Both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--largest", type=int, default=8, help="10 to this many values")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        compare_formats(Path(name), options.rounds)
    compare_sizes(options.largest)


if __name__ == "__main__":
    main()
