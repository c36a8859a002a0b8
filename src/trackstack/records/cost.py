"""What recorded runs have cost, by sweep, person or stage, and what to ask Slurm for the next time."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.records.index.rows import IndexedRun
from trackstack.tracking.spending import WASTED

GROUPS = ("sweep", "user", "stage", "name")
SPARE_MEMORY, SPARE_TIME = 1.25, 1.5
"""What the advice adds to the most that was seen."""
MIB_PER_GIB, JOULES_PER_KWH = 1024, 3.6e6


class Bill(NamedTuple):
    """One execution of a stage, and whose it is."""

    run: str
    sweep: str
    user: str
    name: str
    spent: dict[str, Any]
    """See `trackstack.tracking.spending`."""

    @property
    def stage(self) -> str:
        """train, evaluate, or run for a script that no stage runs."""
        return self.spent["stage"]


def bills_of(runs: Iterable[IndexedRun]) -> list[Bill]:
    """Those of some runs."""
    return [
        Bill(
            run.key, run.facts["sweep"] or "no sweep", run.facts["user"] or "unknown", run.facts["name"] or "", spent
        )
        for run in runs
        for spent in run.spent
    ]


def sum_up(bills: list[Bill], by: str) -> list[dict[str, Any]]:
    """A row per group, and one for all of them where there are several.

    Returns:
        the group's name; `runs`; `hours`; `core_hours` that were used; `allocated_core_hours` that Slurm held, and
        the share of these that was used, seff's `cpu_efficiency`; `memory_gib` at most; `gpu_hours`, `kwh`;
        `queued_hours`, each job once; `wasted_hours`, of executions that failed or were lost and that nothing went on
        from. None: nobody measured it.

    Raises:
        UserError: no such grouping.
    """
    if by not in GROUPS:
        raise UserError(f"--by {by}: expected one of {', '.join(GROUPS)}")
    groups: dict[str, list[Bill]] = {}
    for bill in bills:
        groups.setdefault(getattr(bill, by), []).append(bill)
    rows = [{by: name} | _sum(members) for name, members in sorted(groups.items())]
    return rows if len(rows) < 2 else [*rows, {by: "all"} | _sum(bills)]


def _sum(bills: list[Bill]) -> dict[str, Any]:
    spent = [bill.spent for bill in bills]
    measured = [one for one in spent if one["cpu_seconds"] is not None]
    in_jobs = [one for one in measured if held(one, "cpus")]
    allocated = sum(one["seconds"] * held(one, "cpus") for one in in_jobs)
    queued = {job: of_job.get("queued_seconds") for one in spent for job, of_job in one["jobs"].items()}
    joules = [one["energy_joules"] for one in spent if one["energy_joules"] is not None]
    memory = max((one["memory_peak_mb"] or 0 for one in spent), default=0)
    return {
        "runs": len({bill.run for bill in bills}),
        "hours": _hours(one["seconds"] for one in spent),
        "core_hours": _hours(one["cpu_seconds"] for one in measured) if measured else None,
        "allocated_core_hours": _hours([allocated]) if in_jobs else None,
        "cpu_efficiency": round(sum(one["cpu_seconds"] for one in in_jobs) / allocated, 4) if allocated else None,
        "memory_gib": round(memory / MIB_PER_GIB, 2) or None,
        "gpu_hours": _hours(one["gpu_seconds"] for one in spent),
        "kwh": round(sum(joules) / JOULES_PER_KWH, 4) if joules else None,
        "queued_hours": _hours(filter(None, queued.values())) if queued else None,
        "wasted_hours": _hours(one["seconds"] for one in spent if one["status"] in WASTED),
    }


def advise(bills: list[Bill]) -> list[dict[str, Any]]:
    """By stage, what to ask Slurm for: from its finished executions, with a quarter more memory and half more time.

    Returns:
        `stage`, `runs`; the most that was seen: `cores` busy for some seconds, `memory_mb`, `seconds`, `gpu_percent`
        (None without a GPU); `held`, the most that a job of it had; `slurm`, as `meta: slurm:` of its stage has it.
    """
    stages: dict[str, list[Bill]] = {}
    for bill in bills:
        if bill.spent["status"] == "finished" and bill.spent["cpu_seconds"] and bill.spent["seconds"] > 0:
            stages.setdefault(bill.stage, []).append(bill)
    return [_advice(stage, [bill.spent for bill in members]) for stage, members in sorted(stages.items())]


def _advice(stage: str, spent: list[dict[str, Any]]) -> dict[str, Any]:
    cores = max(max(one["cores_peak"] or 0, one["cpu_seconds"] / one["seconds"]) for one in spent)
    memory = max(one["memory_peak_mb"] or 0 for one in spent)
    seconds = max(one["seconds"] for one in spent)
    uses = [gpu["percent"] for one in spent for gpu in one["gpus"] if gpu["percent"] is not None]
    minutes = math.ceil(SPARE_TIME * seconds / 600) * 10
    return {
        "stage": stage,
        "runs": len(spent),
        "cores": round(cores, 2),
        "memory_mb": memory,
        "seconds": seconds,
        "gpu_percent": max(uses, default=None),
        "held": {name: max((held(one, name) for one in spent), default=0) or None for name in ("cpus", "memory_mb")},
        "slurm": {
            "cpus-per-task": max(math.ceil(cores), 1),
            "mem": f"{max(math.ceil(SPARE_MEMORY * memory / MIB_PER_GIB), 1)}G",
            "time": f"{minutes // 60:02}:{minutes % 60:02}:00",
        },
    }


def held(spent: dict[str, Any], what: str) -> float:
    """The most of something that a job of it held; 0 outside Slurm."""
    return max((held.get(what) or 0 for held in spent["jobs"].values()), default=0)


def _hours(seconds: Iterable[float]) -> float:
    return round(sum(seconds) / 3600, 4)
