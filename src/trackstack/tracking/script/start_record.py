"""The first record of an attempt: who began what, where, with which source, and what it was made from."""

from __future__ import annotations

import os
from typing import Any

from trackstack.system.allocation import allocation
from trackstack.system.redaction import redact
from trackstack.tracking.environment import destinations, environment, home, tags
from trackstack.tracking.journal import now, warn
from trackstack.tracking.packages import LOCK
from trackstack.tracking.series import Earlier
from trackstack.tracking.snapshot import keep_source


def start_record(
    run: str,
    attempt: int,
    earlier: Earlier | None,
    given: dict[str, Any],
    extra_tags: dict[str, str] | None,
    device: str,
) -> dict[str, Any]:
    """The record, without secrets.

    Args:
        earlier: what this attempt goes on from.
        given: stage, name, params and data.
    """
    surroundings = environment(device)
    _warn_of_drift(surroundings.get("drift"))
    start = {
        "type": "start",
        "time": now(),
        "run": run,
        "attempt": attempt,
        "stage": given["stage"],
        "series": earlier.series if earlier else attempt,
        "name": os.environ.get("MLFLOW_RUN_NAME") or os.environ.get("DVC_EXP_NAME") or given["name"],
        "params": given["params"],
        # Another attempt of the series, which an evaluation belongs to as well, has kept its source already.
        "tags": tags() | ({} if earlier else source_tag(run)) | (extra_tags or {}),
        "data": given["data"],
        "upstream": _upstream(),
        "environment": surroundings,
        "job": allocation(),
        "destinations": destinations(home()),
    }
    recorded = redact(start)
    recorded["environment"]["packages"] = surroundings["packages"]  # google-auth is the name of no secret
    return recorded


def source_tag(run: str) -> dict[str, str]:
    """Keep the source of a run; the tag that says where."""
    source = keep_source(run, home())
    return {"source": source} if source else {}


def _warn_of_drift(drift: list[str] | None) -> None:
    if drift:
        more = f" and {len(drift) - 3} more" if len(drift) > 3 else ""
        warn(f"packages are not those of {LOCK}: {'; '.join(drift[:3])}{more}; pip install --requirement {LOCK}")


def warn_of_other_places(start: dict[str, Any], earlier: Earlier) -> None:
    """Say which back ends of an attempt that goes on from others are not those that it asks for."""
    for name, chosen in start["destinations"].items():
        before = earlier.destinations.get(name, chosen)
        for key in chosen:
            if before.get(key) != chosen[key]:
                what = f"with {key} {before.get(key)}, not {chosen[key]}"
                warn(f"{name}: run {start['run']} goes on where it began, {what}")


def _upstream() -> dict[str, Any] | None:
    """What DVC knows of the origin of this run; nothing for a script that no stage runs."""
    if "DVC_STAGE" not in os.environ:
        return None
    from trackstack.tracking.upstream import upstream_of_running_stage  # with DVC's parser, a third of a second

    return upstream_of_running_stage()
