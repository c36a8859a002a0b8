"""How the script of a run ended, as its record says it."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

from trackstack import UserError
from trackstack.system.redaction import redact
from trackstack.system.stopping import EXIT_INTERRUPTED, pauses

STATUSES = ("finished", "interrupted", "paused", "pruned", "failed")
PRUNING, INTERRUPTIONS = {"TrialPruned"}, {"KeyboardInterrupt", "SIGTERMException"}
"""Classes of Optuna, Python and Lightning, by name: none of their packages is imported for it."""


def check_status(status: object) -> None:
    """UserError for a status that no run ends with."""
    if status not in (None, *STATUSES):
        raise UserError(f"run.finish: the status is {status!r}; expected one of {', '.join(STATUSES)}")


def how_it_ended(fault: BaseException | None, asked: str | None) -> tuple[str, str | None]:
    """Status and error of a block that was left.

    Args:
        fault: what left it; leaving by `sys.exit(0)` is a good end.
        asked: what had asked this process to end. Whatever goes wrong afterwards was interrupted, since a cluster
            signals all processes of a job, and what ends well afterwards is not whole.
    """
    if fault is None or (isinstance(fault, SystemExit) and not fault.code):
        names = {type(fault).__name__}
        text = asked
    else:
        names = {one.__name__ for one in type(fault).__mro__}
        text = f"{type(fault).__name__}: {fault}".strip().splitlines()[-1]
    if names & PRUNING:
        return "pruned", text
    if asked or names & INTERRUPTIONS or getattr(fault, "code", None) == EXIT_INTERRUPTED:
        return ("paused" if (asked or str(fault)) in pauses else "interrupted"), text
    return ("finished" if text is None else "failed"), text


def last_fault() -> BaseException | None:
    """The last exception that nobody caught, of whatever age: a notebook has one for each cell that failed."""
    return getattr(sys, "last_value", None)


def how_the_process_ended(asked: str | None, before: BaseException | None = None) -> tuple[str, str | None]:
    """The same at the end of the process, for a run that nobody finished: a good end would have said so.

    Args:
        before: `last_fault` when the run began, which is none of its own.
    """
    fault = None if last_fault() is before else last_fault()
    if fault is None and asked is None:
        return "interrupted", "run.finish() was not called"
    return how_it_ended(fault, asked)


def how_to_say_otherwise(asked: str | None) -> str:
    """Of a run that ended without a word about how: what it is taken for.

    Args:
        asked: what had asked this process to end; None where an event loop has kept that to itself.
    """
    if asked:
        return f"{asked}, so it is recorded as interrupted; run.finish('finished') says otherwise"
    return (
        "an event loop took the signals over, so nobody knows whether one asked this process to end; "
        "call add_signal_handler before start_run, or say run.finish('interrupted')"
    )


def write_status_file(run: str, status: str, error: str | None) -> str | None:
    """Tell a wrapper how it ended: an exit code does not get through `dvc` as it was. Returns what went wrong."""
    if file := os.environ.get("TRACKSTACK_STATUS_FILE"):
        partial = Path(f"{file}.partial")
        try:
            partial.write_text(json.dumps({"status": status, "reason": redact(error), "run": run}) + "\n")
            partial.replace(file)
        except OSError as fault:
            return f"{file}: {fault.strerror}: whoever waits for it sees the exit code alone"
    return None
