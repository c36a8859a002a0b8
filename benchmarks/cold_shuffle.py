"""A random order for windows that do not fit into memory: the file is read in runs, and the runs are mixed.

Windows in a fully random order cost one random read each. Here windows that lie together are read together: runs of
them come in a random order, some of them at a time, and the windows of those are shuffled. With R runs at a time of
N, a batch has windows from R of N stretches of the file instead of from all; over the epochs every window meets every
other. What it costs beside a full shuffle and a plain copy is in docs/performance.md.

    for index_B in shuffle_from_disk(dataset, cache_file, batch_size=64, generator=generator):
        windows, labels = dataset.batch(index_B)
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from pipeline.windows.cache_files import part_files
from pipeline.windows.dataset import WindowDataset

RUN_BYTES = 4 << 20
RUNS_AT_A_TIME = 64


def shuffle_from_disk(
    dataset: WindowDataset,
    cache: Path,
    batch_size: int,
    generator: torch.Generator,
    run_bytes: int = RUN_BYTES,
    runs_at_a_time: int = RUNS_AT_A_TIME,
) -> Iterator[Tensor]:
    """Yield one epoch's batches as indices int64 [B] for `WindowDataset.batch`; only the last may be shorter.

    While a batch is used, the system reads what comes next: twice `run_bytes * runs_at_a_time` are wanted in memory.
    What was used is clean, so that the system takes it back as soon as it needs the memory.

    Args:
        dataset: the windows of a split, in the order of the rows.
        cache: the tensor cache that `dataset` is mapped from.
        batch_size: windows per batch.
        generator: decides the order.
        run_bytes: how much of the signal is read at a stretch.
        runs_at_a_time: of how many runs the windows are mixed.
    """
    num_windows = len(dataset)
    per_window = max(1, (int(dataset.starts[-1]) + dataset.window - int(dataset.starts[0])) // num_windows)
    run = max(1, run_bytes // (per_window * dataset.channels * 4))
    order = torch.randperm(-(-num_windows // run), generator=generator)
    mixes = [
        [(number * run, min((number + 1) * run, num_windows)) for number in part.tolist()]
        for part in order.split(runs_at_a_time)
    ]
    left = torch.empty(0, dtype=torch.int64)
    with _Pages(dataset, cache) as pages:
        pages.want(mixes[0])
        for number, mix in enumerate(mixes):
            pages.want(mixes[number + 1] if number + 1 < len(mixes) else [])
            index_W = torch.cat([torch.arange(begin, end) for begin, end in mix])
            index_W = torch.cat([left, index_W[torch.randperm(len(index_W), generator=generator)]])
            batches = list(index_W.split(batch_size))
            # Windows that are left over wait for the next runs, so that every batch is full.
            left = batches.pop() if number + 1 < len(mixes) and len(batches[-1]) < batch_size else left[:0]
            yield from batches


class _Pages:
    """Tells the system which stretches of the signal's files will be read."""

    def __init__(self, dataset: WindowDataset, cache: Path):
        self._dataset = dataset
        self._row_bytes = dataset.channels * 4
        self._paths = part_files(cache)

    def __enter__(self) -> _Pages:
        # Descriptor, the byte where its rows begin, its first row, and that of the next file.
        self._files: list[tuple[int, int, int, int]] = []
        end = 0
        for path in self._paths:
            file = os.open(path, os.O_RDONLY)
            header_bytes = int.from_bytes(os.pread(file, 8, 0), "little")
            entry = json.loads(os.pread(file, header_bytes, 8))["signal"]
            first, end = end, end + entry["shape"][0]
            self._files.append((file, 8 + header_bytes + entry["data_offsets"][0], first, end))
        return self

    def __exit__(self, *_: object) -> None:
        for file, *_ in self._files:
            os.close(file)

    def want(self, runs: list[tuple[int, int]]) -> None:
        if not hasattr(os, "posix_fadvise"):
            return  # macOS: the order is the same, the system finds out by itself
        for begin, end in sorted(runs):
            first = int(self._dataset.starts[begin])
            last = int(self._dataset.starts[end - 1]) + self._dataset.window
            for file, offset, file_first, file_last in self._files:
                begins, ends = max(first, file_first), min(last, file_last)
                if begins < ends:
                    place = offset + (begins - file_first) * self._row_bytes
                    os.posix_fadvise(file, place, (ends - begins) * self._row_bytes, os.POSIX_FADV_WILLNEED)
