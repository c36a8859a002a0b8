"""Batches of windows on the device of the model, in any order.

Where the signal fits, it lies in the device's memory and a batch is gathered there; otherwise the next batch is
gathered on the CPU and pinned while the present one is computed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from pipeline.windows.dataset import TensorCache, WindowDataset
from trackstack.training.memory import keep_freed_memory

RESIDENT_SHARE = 0.5  # of the free memory; the rest is for the model and its gradients


def resident(cache: TensorCache, device: torch.device) -> TensorCache:
    """The cache with its tensors on the device if the signal fits there, else as it is."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if cache.signal.nbytes + cache.label.nbytes > RESIDENT_SHARE * free:
            return cache
    return cache.to(device)


def load(
    windows: WindowDataset, indices_B: Iterable[Tensor], device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Windows float32 [B, L, C] and labels int64 [B] on the device, for each index tensor int64 [B] in turn.

    The indices lie where the windows do.
    """
    keep_freed_memory()
    if windows.starts.device == device:
        for index_B in indices_B:
            yield windows.batch(index_B)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="trackstack-loader") as pool:
        previous: Future | None = None
        for index_B in indices_B:
            current = pool.submit(_gather_pinned, windows, index_B)
            if previous is not None:
                yield _to_device(previous.result(), device)
            previous = current
        if previous is not None:
            yield _to_device(previous.result(), device)


def _gather_pinned(windows: WindowDataset, index_B: Tensor) -> tuple[Tensor, ...]:
    batch = windows.batch(index_B)
    return tuple(tensor.pin_memory() if torch.cuda.is_available() else tensor for tensor in batch)


def _to_device(batch: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    windows_BLC, labels_B = (tensor.to(device, non_blocking=True) for tensor in batch)
    return windows_BLC, labels_B
