"""Use of CPU, memory and GPU, sampled in a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable

import psutil

SAMPLE_SECONDS = 5.0


class Monitor:
    """Calls `report` with a sample every few seconds until it is stopped."""

    def __init__(self, report: Callable[[dict[str, float]], None]):
        self._report = report
        self._stop = threading.Event()
        self._process = psutil.Process()
        self._process.cpu_percent()  # the first call only sets the mark that the next one counts from
        self._gpu = _first_gpu()
        self._thread = threading.Thread(target=self._run, name="trackstack-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Take no more samples; returns when the thread has ended."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error):
                self._report(self._sample())

    def _sample(self) -> dict[str, float]:
        sample = {
            "cpu_percent": self._process.cpu_percent(),
            "memory_mb": round(self._process.memory_info().rss / 2**20, 1),
        }
        return sample | (self._gpu() if self._gpu else {})


def _first_gpu() -> Callable[[], dict[str, float]] | None:
    """A reader of the first GPU that this process may use; None where there is no NVIDIA driver."""
    try:
        import pynvml

        pynvml.nvmlInit()
        gpu = pynvml.nvmlDeviceGetHandleByIndex(0)
    except Exception:  # no package, no driver, no device: nothing to read
        return None

    def read() -> dict[str, float]:
        use, memory = pynvml.nvmlDeviceGetUtilizationRates(gpu), pynvml.nvmlDeviceGetMemoryInfo(gpu)
        return {"gpu_percent": float(use.gpu), "gpu_memory_mb": round(memory.used / 2**20, 1)}

    return read
