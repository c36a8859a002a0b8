"""The data path beside its peers: all tables, and a picture of the ratios. `make bench` runs it.

    python benchmarks/data_path.py [--quick] [--picture docs/performance.png]

Takes 15 minutes on two cores that have nothing else to do, and 12 GB of disk in $TMPDIR; `--quick` takes two, on
smaller data.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

import cache
import convert
import formats
from measuring import machine, ratio

from pipeline.windows.dataset import open_cache


def draw(bars: dict[str, float], path: Path) -> None:
    """A bar per peer: our time divided by its time."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(figsize=(8, 0.5 + 0.35 * len(bars)), layout="constrained")
    positions = axes.barh(list(bars), list(bars.values()), color="#4878a8")
    axes.bar_label(positions, fmt="%.2f", padding=3)
    axes.axvline(1, color="black", linewidth=1)
    axes.set_xscale("log")
    axes.invert_yaxis()
    axes.set_xlabel("our time / time of the peer (left of the line: ours is faster)")
    figure.savefig(path, dpi=100, metadata={"Software": None})


def main() -> None:
    """All tables, then the picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="2 files instead of 12, 0.2 GB instead of 4")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--picture", type=Path, default=Path("performance.png"))
    options = parser.parse_args()
    print(machine())
    bars = {}
    with tempfile.TemporaryDirectory() as name:
        raw = convert.write_data(Path(name), 2 if options.quick else 12)
        found = convert.compare(raw, Path(name), options.rounds, list(convert.WAYS))
        bars |= {f"convert: {way}": ratio(found["ours"], results) for way, results in found.items() if way != "ours"}
    with tempfile.TemporaryDirectory() as name:
        small = cache.write_cache(Path(name) / "small", 1_250_000)
        large = cache.write_cache(Path(name) / "large", 6_250_000 if options.quick else 125_000_000)
        for folder in (small, large):
            for size, way, _, value in cache.compare_opening(folder, options.rounds):
                bars |= {f"open {size}: {way}": float(value)} if way != "ours" else {}
        memory = open_cache(
            cache.write_cache(Path(name) / "epoch", cache.STRIDE * (cache.NUM_WINDOWS - 1) + cache.WINDOW)
        )
        for batch in (64, 512):
            for _, way, _, value, _ in cache.compare_epochs(memory, batch, options.rounds):
                bars |= {f"epoch, batch {batch}: {way}": float(value)} if way != "ours" else {}
        cache.compare_cold(large, min(options.rounds, 3))
    with tempfile.TemporaryDirectory() as name:
        formats.compare_formats(Path(name), options.rounds)
    formats.compare_sizes(6 if options.quick else 8)
    draw(bars, options.picture)
    print(f"\n{options.picture}")


if __name__ == "__main__":
    main()
