"""Use of CPU, memory and GPU, sampled in a thread of its own."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Mapping

import psutil

SAMPLE_SECONDS = 5.0
Sample = dict[str, float]


class Monitor:
    """Calls `report` with a sample every few seconds until it is stopped."""

    def __init__(self, report: Callable[[Sample], None]):
        self._report = report
        self._stop = threading.Event()
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only sets the mark that the next one counts from
        self._thread = threading.Thread(target=self._run, name="trackstack-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples; returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        read_gpu = _gpu_reader(first_visible_gpu(os.environ))  # here, since a driver may take a second to answer
        while not self._stop.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error):
                self._report(self._sample() | read_gpu())

    def _sample(self) -> Sample:
        return {
            "cpu_percent": self._process.cpu_percent(),
            "memory_mb": round(self._process.memory_info().rss / 2**20, 1),
        }


def first_visible_gpu(environment: Mapping[str, str]) -> int | str | None:
    """Index or UUID of what a process calls `cuda:0`; None when it may use none. NVML ignores the variable itself."""
    first = environment.get("CUDA_VISIBLE_DEVICES", "0").split(",")[0].strip()
    if first.startswith(("GPU-", "MIG-")):
        return first
    return int(first) if first.isdecimal() else None


def _gpu_reader(gpu: int | str | None) -> Callable[[], Sample]:
    """A function that samples a GPU; its samples are empty where there is nothing to read."""
    try:
        import pynvml

        pynvml.nvmlInit()
        find = pynvml.nvmlDeviceGetHandleByIndex if isinstance(gpu, int) else pynvml.nvmlDeviceGetHandleByUUID
        handle = find(gpu)
    except Exception:  # no package, no driver, no such device
        return dict

    def read() -> Sample:
        try:
            use, memory = pynvml.nvmlDeviceGetUtilizationRates(handle), pynvml.nvmlDeviceGetMemoryInfo(handle)
        except pynvml.NVMLError:  # a slice of a GPU (MIG) does not tell
            return {}
        return {"gpu_percent": float(use.gpu), "gpu_memory_mb": round(memory.used / 2**20, 1)}

    return read
