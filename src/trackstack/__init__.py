"""trackstack: a record that cannot be lost, sweeps and jobs for any DVC repository on a SLURM cluster.

with trackstack.start_run("my-model", {"lr": 0.1}) as run:
    run.log({"train_loss": 0.5}, step=0)
"""

import importlib
import os
from pathlib import Path
from typing import Any

PUBLIC = {
    "start_run": "trackstack.tracking.run",
    "Checkpoints": "trackstack.training.checkpoint",
    "Stop": "trackstack.system.stopping",
    "Interrupted": "trackstack.system.stopping",
    "stage": "trackstack.core.guard",
    "runs": "trackstack.records.frames",
    "points": "trackstack.records.frames",
    "duckdb": "trackstack.records.frames",
    "load_model": "trackstack.records.models",
}
"""What `trackstack.NAME` is, imported when it is first used: importing the package does nothing."""


class UserError(Exception):
    """A fault that its reader can mend.

    Its text is one line: the file with its field or line, what was found, what was expected and, where it
    helps, what to type. The stages and the command line print it without a traceback and exit with 1.
    """


def describe_error(error: BaseException) -> str:
    """The text of an error, without passwords; for a file that cannot be read or written, its name and why."""
    from trackstack.system.redaction import redact
    from trackstack.system.room import MAKE_ROOM, is_no_room

    text = str(error)
    if isinstance(error, OSError) and error.errno and is_no_room(error):
        text = f"{error.filename or Path.cwd()}: {os.strerror(error.errno)}; {MAKE_ROOM}"
    elif isinstance(error, OSError) and error.filename:
        text = f"{error.filename}: {error.strerror}"
    return redact(text)


def __getattr__(name: str) -> Any:
    if name not in PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(PUBLIC[name]), name)
