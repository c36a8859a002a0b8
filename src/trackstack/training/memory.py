"""The memory of batches: kept when they are freed."""

from __future__ import annotations

import ctypes
import functools

# Of glibc's malloc.h, and the memory up to which a batch is kept: 32 MiB is the most that it takes.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
KEPT_BYTES, KEPT_BATCH_BYTES = 256 << 20, 32 << 20


@functools.cache
def keep_freed_memory() -> None:
    """Let the next batch have the memory of the last one.

    glibc returns large pieces to the system, which gives them out again page by page, each filled with zeros: that
    takes longer than gathering the windows.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)  # not on macOS
    if mallopt is not None:
        mallopt(M_TRIM_THRESHOLD, KEPT_BYTES)
        mallopt(M_MMAP_THRESHOLD, KEPT_BATCH_BYTES)
