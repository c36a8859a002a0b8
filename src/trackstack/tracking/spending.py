"""What the attempts at one stage of a run have used, put together."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from trackstack.tracking.series import Attempt

WASTED = ("failed", "lost")
UNMEASURED: dict[str, Any] = {"cpu_seconds": None, "cores_peak": None, "memory_peak_mb": None, "gpus": []}
"""What an end may lack that another version wrote."""


def spent(attempts: list[Attempt], status: str) -> dict[str, Any]:
    """One execution of a stage, with the attempts that went on from one another.

    Returns:
        `stage` as DVC addresses it, where it runs one; `status`, number of `attempts`, `seconds`; `cpu_seconds` (None
        where a kill left no sum and no sample), `cores_peak`, `memory_peak_mb`; by GPU of the last attempt `gpus`
        (name, percent, memory_peak_mb), and `gpu_seconds` and `energy_joules` of all; `jobs`, the allocations of
        Slurm by the job's id.
    """
    parts = [_attempt(attempt) for attempt in attempts]
    jobs = [attempt.start["job"] for attempt in attempts if attempt.start.get("job")]
    return {
        "stage": (attempts[0].start.get("upstream") or {}).get("stage") or attempts[0].start["stage"],
        "status": status,
        "attempts": len(attempts),
        "seconds": round(sum(part["seconds"] for part in parts), 1),
        "cpu_seconds": _total(part["cpu_seconds"] for part in parts),
        "cores_peak": _most(part["cores_peak"] for part in parts),
        "memory_peak_mb": _most(part["memory_peak_mb"] for part in parts),
        "gpus": parts[-1]["gpus"],
        "gpu_seconds": round(sum(part["seconds"] * len(part["gpus"]) for part in parts), 1),
        "energy_joules": _total(gpu["energy_joules"] for part in parts for gpu in part["gpus"]),
        "jobs": {job["job"]: {name: value for name, value in job.items() if name != "job"} for job in jobs},
    }


def _attempt(attempt: Attempt) -> dict[str, Any]:
    """An attempt that has no end was killed: then its samples say what is known."""
    began, end = attempt.start.get("time", 0.0), attempt.end or {}
    last = end.get("time") or max((point.get("time", began) for point in attempt.points), default=began)
    known = {"seconds": max(last - began, 0.0)}
    if usage := end.get("usage"):
        return known | UNMEASURED | usage
    samples = [point for point in attempt.points if point["type"] == "system"]
    cpu, previous = None, began
    for sample in samples:
        cpu = (cpu or 0.0) + sample["values"].get("cpu_percent", 0.0) / 100 * max(sample["time"] - previous, 0.0)
        previous = sample["time"]
    memory = max((sample["values"].get("memory_mb", 0.0) for sample in samples), default=None)
    cores = max((sample["values"].get("cpu_percent", 0.0) / 100 for sample in samples), default=None)
    return known | {"cpu_seconds": cpu, "cores_peak": cores, "memory_peak_mb": memory, "gpus": []}


def _most(values: Iterable[float | None]) -> float | None:
    return max(filter(None, values), default=None)


def _total(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return round(sum(known), 2) if known else None
