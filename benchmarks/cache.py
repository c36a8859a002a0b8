"""The tensor cache beside its peers: opening it, one shuffled epoch from memory, one from a cold disk.

    python benchmarks/cache.py [--rounds 7] [--large-gb 4] [--skip-cold]

`open`: torch.load, torch.load(mmap) and safetensors on the same tensors, at 40 MB and at 4 GB. `epoch`: 40,000
windows of 200 x 6, stride 50. `cold`: the large cache after it was dropped from the page cache.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterable
from itertools import islice
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent), str(Path(__file__).resolve().parent.parent / "src")]

import numpy as np
import torch
from cold_shuffle import shuffle_from_disk
from measuring import alternate, best, machine, print_table, ratio, timed
from safetensors import safe_open
from torch.utils.data import DataLoader

from pipeline.tensor_cache.safetensors_writer import TensorFile, write_tensors
from pipeline.train.loader import load
from pipeline.windows.cache_files import RowsDigest, digest_of_file, part_files
from pipeline.windows.dataset import TensorCache, WindowDataset, open_cache
from pipeline.windows.layout import SEGMENTS_FILE, SIGNAL_FOLDER, SPLITS_FILE

WINDOW, STRIDE, CHANNELS = 200, 50, 6
NUM_WINDOWS = 40_000
PIECE_ROWS = 1_000_000


def write_cache(folder: Path, rows: int, num_parts: int = 1) -> Path:
    """A cache of noise as `tensor_cache` writes it, in one part or several; all windows are in the training split."""
    (folder / SIGNAL_FOLDER).mkdir(parents=True)
    edges = np.linspace(0, rows, num_parts + 1).astype(np.int64)
    parts = []
    for number, size in enumerate(np.diff(edges).tolist()):
        path = folder / SIGNAL_FOLDER / f"{number:04d}.safetensors"
        parts.append({"file": path.name, "rows": size, "missing": 0, "digest": _write_part(path, size, number)})
    segments = {"segment_edges": np.array([0, rows]), "segment_groups": np.array([0])}
    digest = write_tensors(folder / SEGMENTS_FILE, segments, {"groups": ["all"], "parts": parts})
    statistics = {"mean": np.full(CHANNELS, 0.1, np.float32), "std": np.full(CHANNELS, 1.1, np.float32)}
    split = {"train": ["all"], "val": [], "test": []}
    settings = {"window": WINDOW, "stride": STRIDE, "split": split, "signal": digest}
    write_tensors(folder / SPLITS_FILE, statistics, settings)
    return folder


def _write_part(path: Path, rows: int, seed: int) -> str:
    """Noise, some rows at a time; returns the digest of the file."""
    random, digest = np.random.default_rng(seed), RowsDigest()
    about = {"rows": "0" * 64, "digest": "0" * 64}
    with TensorFile(path, {"signal": ("F32", (rows, CHANNELS)), "label": ("I64", (rows,))}, about) as file:
        for begin in range(0, rows, PIECE_ROWS):
            size = min(PIECE_ROWS, rows - begin)
            signal_NC = random.normal(size=(size, CHANNELS)).astype(np.float32)
            for name, array in (("signal", signal_NC), ("label", np.zeros(size, np.int64))):
                file.write(name, array, begin)
                digest.update(name, array)
        about["rows"] = digest.hexdigest()
        about["digest"] = digest_of_file(about, {})
        file.finish(about)
    return about["digest"]


def open_with_safetensors(file: Path) -> dict[str, torch.Tensor]:
    """The library alone: every tensor, no metadata, no check."""
    with safe_open(file, framework="pt") as tensors:
        return {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 (no dict)


def compare_opening(folder: Path, rounds: int) -> list[list[str]]:
    """A row of the table per way."""
    (file,) = part_files(folder)
    pickled = folder / "cache.pt"
    torch.save(open_with_safetensors(file), pickled)
    few = min(20, max(1, int(2e8 / file.stat().st_size)))  # reading everything takes long
    ways = {
        "ours": lambda: timed(lambda: open_cache(folder), 200),
        "safetensors": lambda: timed(lambda: open_with_safetensors(file), 200),
        "torch.load(mmap=True)": lambda: timed(lambda: torch.load(pickled, mmap=True), 20),
        "torch.load (the guide's way)": lambda: timed(lambda: torch.load(pickled), few),
    }
    found = alternate(ways, rounds)
    pickled.unlink()
    size = f"{file.stat().st_size / 1e6:,.0f} MB"
    rows = [
        [size, name, f"{best(results) * 1e3:.3f}", f"{ratio(found['ours'], results):.3f}"]
        for name, results in found.items()
    ]
    print_table("Opening a tensor cache", ["size", "way", "ms (best)", "ours / it"], rows)
    return rows


class Materialised(torch.utils.data.Dataset):
    """The guide's dataset: windows as they are, one by one."""

    def __init__(self, windows: torch.Tensor, labels: torch.Tensor):
        self.windows, self.labels = windows, labels

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self.windows[index], self.labels[index]


def run_through(batches: Iterable) -> None:
    """Take every batch and let it go."""
    for _ in batches:
        pass


def compare_epochs(cache: TensorCache, batch_size: int, rounds: int) -> list[list[str]]:
    """A row of the table per way."""
    dataset = WindowDataset(cache, "train")
    windows, labels = dataset.batch(torch.arange(len(dataset)))
    copy = torch.empty_like(windows)
    one_by_one = Materialised(windows, labels)

    def loader(data: torch.utils.data.Dataset, workers: int = 0) -> Callable[[], dict]:
        return lambda: timed(lambda: run_through(DataLoader(data, batch_size, shuffle=True, num_workers=workers)))

    ways = {
        "ours": lambda: timed(
            lambda: run_through(load(dataset, torch.randperm(len(dataset)).split(batch_size), torch.device("cpu"))),
        ),
        "copy of the materialised windows": lambda: timed(lambda: copy.copy_(windows)),
        "indexing materialised windows": lambda: timed(
            lambda: run_through(
                (windows[index_B], labels[index_B]) for index_B in torch.randperm(len(labels)).split(batch_size)
            )
        ),
        "DataLoader, __getitems__": loader(dataset),
        "DataLoader (the guide's way)": loader(one_by_one),
        "DataLoader, 2 workers": loader(one_by_one, 2),
    }
    for way in ways.values():
        way()  # warm
    found = alternate(ways, rounds)
    rows = [
        [
            str(batch_size),
            name,
            f"{best(results) * 1e3:.1f}",
            f"{ratio(found['ours'], results):.2f}",
            f"{best(found['ours']) / best(results):.2f}",
        ]
        for name, results in found.items()
    ]
    print_table("One shuffled epoch from memory", ["batch", "way", "ms (best)", "ours / it", "best / best"], rows)
    return rows


def forget(file: Path) -> None:
    """Drop a file from the page cache."""
    descriptor = os.open(file, os.O_RDONLY)
    os.fsync(descriptor)
    os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(descriptor)


def compare_cold(folder: Path, rounds: int, batch_size: int = 512) -> list[list[str]]:
    """Windows per second from a cold disk, over a part of an epoch: a whole one of a full shuffle takes long."""
    (file,) = part_files(folder)

    def read() -> dict:
        forget(file)
        with file.open("rb", buffering=0) as stream:
            result = timed(lambda: run_through(iter(lambda: stream.read(8 << 20), b"")))
        return result | {"windows": (file.stat().st_size // (CHANNELS * 4 * STRIDE))}

    def epoch(part: int, full: bool) -> dict:
        forget(file)
        dataset = WindowDataset(open_cache(folder), "train")
        generator = torch.Generator().manual_seed(0)
        if full:
            batches = iter(torch.randperm(len(dataset), generator=generator).split(batch_size))
        else:
            batches = shuffle_from_disk(dataset, folder, batch_size, generator)
        num_batches = len(dataset) // part // batch_size
        result = timed(lambda: run_through(dataset.batch(index_B) for index_B in islice(batches, num_batches)))
        return result | {"windows": num_batches * batch_size}

    ways = {
        "ours, in runs": lambda: epoch(2, full=False),
        "full shuffle": lambda: epoch(20, full=True),
        "plain read of the file": read,
    }
    found = alternate(ways, rounds)
    for results in found.values():
        for result in results:
            result["seconds"] /= result["windows"]
    rows = [
        [name, f"{1 / best(results):,.0f}", f"{ratio(found['ours, in runs'], results):.2f}"]
        for name, results in found.items()
    ]
    print_table("One epoch from a cold disk", ["way", "windows per s", "ours / it, time per window"], rows)
    return rows


def main() -> None:
    """Write the caches, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--large-gb", type=float, default=4)
    parser.add_argument("--skip-cold", action="store_true")
    options = parser.parse_args()
    print(machine())
    with tempfile.TemporaryDirectory() as name:
        small = write_cache(Path(name) / "small", 1_250_000)
        large = write_cache(Path(name) / "large", int(options.large_gb * 1e9 / 32))
        for folder in (small, large):
            compare_opening(folder, options.rounds)
        cache = open_cache(write_cache(Path(name) / "epoch", STRIDE * (NUM_WINDOWS - 1) + WINDOW))
        for batch_size in (64, 512):
            compare_epochs(cache, batch_size, options.rounds)
        if not options.skip_cold:
            compare_cold(large, min(options.rounds, 3))


if __name__ == "__main__":
    main()
