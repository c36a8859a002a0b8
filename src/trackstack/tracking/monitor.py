"""What a run uses: CPU, memory and GPUs, sampled in a thread of its own and summed up at its end."""

from __future__ import annotations

import contextlib
import importlib
import os
import resource
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from trackstack.tracking.gpus import Gpus

SAMPLE_SECONDS = 5.0
Sample = dict[str, float]


class Monitor:
    """Calls `report` with a sample every few seconds until it is stopped.

    It looks at this process and its children, such as workers that load data; not at those with a session of their
    own, as the one that delivers the record.
    """

    def __init__(self, report: Callable[[Sample], None]):
        self._report = report
        self._stop = threading.Event()
        self._gpus: Gpus | None = None
        self._begin, memory = _use_of_tree()
        self._last = time.monotonic(), self._begin
        self._memory_peak, self._cores_peak = memory, 0.0
        with contextlib.suppress(
            ImportError
        ):  # here, as a process forked while a thread imports waits for it for ever
            importlib.import_module("pynvml")
        self._thread = threading.Thread(target=self._run, name="trackstack-monitor", daemon=True)
        self._thread.start()

    def stop(self) -> dict[str, Any]:
        """Take no more samples, and sum up.

        Returns:
            `cpu_seconds` since the run began; `cores_peak`, how many were busy in the busiest sample (None before the
            first); `memory_peak_mb`, the most that all processes had resident together
            when one looked, or this one at any time; `gpus`, see `Gpus.summary`.
        """
        self._stop.set()
        self._thread.join()
        with contextlib.suppress(psutil.Error):
            self._sample()
        own_peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        return {
            "cpu_seconds": round(self._last[1] - self._begin, 2),
            "cores_peak": self._cores_peak or None,
            "memory_peak_mb": round(max(self._memory_peak, own_peak), 1),
            "gpus": self._gpus.summary() if self._gpus else [],
        }

    def _run(self) -> None:
        self._gpus = Gpus(os.environ)  # here, since a driver may take a second to answer
        while not self._stop.wait(SAMPLE_SECONDS):
            with contextlib.suppress(psutil.Error):
                sample = self._sample()
                self._cores_peak = max(self._cores_peak, round(sample["cpu_percent"] / 100, 2))
                self._report(sample | self._gpus.sample())

    def _sample(self) -> Sample:
        (before, cpu_before), now = self._last, time.monotonic()
        cpu, memory = _use_of_tree()
        self._last = now, cpu
        self._memory_peak = max(self._memory_peak, memory)
        return {
            "cpu_percent": round(100 * (cpu - cpu_before) / max(now - before, 1e-3), 1),
            "memory_mb": round(memory, 1),
        }


def _use_of_tree() -> tuple[float, float]:
    """CPU seconds so far, of children that have ended too; MiB resident now, in which shared pages count twice."""
    own = psutil.Process()
    session = os.getsid(0)
    cpu = memory = 0.0
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.Error, ProcessLookupError):
            if process is not own and os.getsid(process.pid) != session:
                continue
            times = process.cpu_times()
            cpu += times.user + times.system + times.children_user + times.children_system
            memory += process.memory_info().rss / 2**20
    return cpu, memory
