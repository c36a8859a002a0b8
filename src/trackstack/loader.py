"""Batches of windows on the device of the model, in any order.

Where the signal fits, it lies in the device's memory and a batch is gathered there; otherwise the next batch is
gathered on the CPU and pinned while the present one is computed.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import torch
from torch import Tensor

from trackstack.windows import TensorCache, WindowDataset

RESIDENT_SHARE = 0.5  # of the free memory; the rest is for the model and its gradients
# Of glibc's malloc.h, and the memory up to which a batch is kept: 32 MiB is the most that it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, KEPT_BATCH_BYTES = 256 << 20, 32 << 20


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
    _keep_freed_memory()
    if windows.starts.device == device:
        for index_B in indices_B:
            yield windows.batch(index_B)
        return
    with ThreadPoolExecutor(1, thread_name_prefix="trackstack-loader") as pool:
        waiting: Future | None = None
        for index_B in indices_B:
            coming = pool.submit(_pinned, windows, index_B)
            if waiting is not None:
                yield _moved(waiting.result(), device)
            waiting = coming
        if waiting is not None:
            yield _moved(waiting.result(), device)


@functools.cache
def _keep_freed_memory() -> None:
    """Let the next batch have the memory of the last one.

    glibc gives large pieces back to the system, which hands them out again page by page, each filled with zeros: that
    takes longer than to gather the windows.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not on macOS
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, KEPT_BATCH_BYTES)


def _pinned(windows: WindowDataset, index_B: Tensor) -> tuple[Tensor, ...]:
    batch = windows.batch(index_B)
    return tuple(tensor.pin_memory() if torch.cuda.is_available() else tensor for tensor in batch)


def _moved(batch: tuple[Tensor, ...], device: torch.device) -> tuple[Tensor, Tensor]:
    windows_BLC, labels_B = (tensor.to(device, non_blocking=True) for tensor in batch)
    return windows_BLC, labels_B
