"""What Slurm has given to the job that this process runs in."""

from __future__ import annotations

import re
import time
from typing import Any

from trackstack import UserError
from trackstack.system import slurm

MIB = {"K": 1 / 1024, "M": 1, "G": 1024, "T": 1024**2}


def allocation() -> dict[str, Any] | None:
    """The job's id and what it holds; None outside a job.

    Returns:
        `job`; `nodes`, `cpus`, `memory_mb`, `gpus`; `limit_seconds`, and `queued_seconds` from when it might have
        started until it did, as sacct's Planned. What Slurm does not tell is left out.
    """
    if (job := slurm.job_name()) is None:
        return None
    try:
        shown = slurm.run(["scontrol", "show", "job", "--oneliner", job])
    except UserError:  # in a container without Slurm's commands, say
        return {"job": job}
    return {"job": job} | read_allocation(shown)


def read_allocation(shown: str) -> dict[str, Any]:
    """The same from a line of `scontrol show job`."""
    fields = dict(re.findall(r"(\w+)=(\S+)", shown))
    held = dict(part.split("=", 1) for part in _resources(shown).split(",") if "=" in part)
    starts, ends, eligible = (_time(fields.get(f"{name}Time")) for name in ("Start", "End", "Eligible"))
    known = {
        "nodes": _whole(held.get("node")),
        "cpus": _whole(held.get("cpu") or fields.get("NumCPUs")),
        "memory_mb": _mebibytes(held.get("mem")),
        "gpus": _whole(held.get("gres/gpu", "0")),
        "limit_seconds": ends - starts if starts and ends else None,
        "queued_seconds": max(starts - eligible, 0.0) if starts and eligible else None,
    }
    return {name: value for name, value in known.items() if value is not None}


def _resources(shown: str) -> str:
    """`cpu=2,mem=1G,node=1`: AllocTRES, which Slurm before 22.05 called TRES."""
    match = re.search(r"\b(?:Alloc)?TRES=(\S+)", shown)
    return match[1] if match else ""


def _whole(text: str | None) -> int | None:
    return int(text) if text and text.isdecimal() else None


def _mebibytes(text: str | None) -> float | None:
    match = re.fullmatch(r"([\d.]+)([KMGT]?)", text or "")
    return round(float(match[1]) * MIB[match[2] or "M"], 1) if match else None


def _time(text: str | None) -> float | None:
    try:
        return time.mktime(time.strptime(text or "", "%Y-%m-%dT%H:%M:%S"))
    except ValueError:  # Unknown, N/A
        return None
