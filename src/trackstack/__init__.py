"""trackstack: data and experiment tracking for machine learning on a SLURM cluster.

with trackstack.start_run("my-model", {"lr": 0.1}) as run:
    run.log({"train_loss": 0.5}, step=0)
"""

import gc
from typing import Any


class UserError(Exception):
    """A fault that its reader can mend.

    Its text is one line: the file with its field or line, what was found, what was expected and, where it
    helps, what to type. The stages and the command line print it without a traceback and exit with 1.
    """


def collect_rarely() -> None:
    """Let Python look for garbage rarely, in a program of ours.

    Importing torch, scikit-learn or MLflow makes millions of objects that stay, and to look through them again and
    again is a fifth of the time.
    """
    gc.set_threshold(100_000, 20, 20)


def describe_error(error: Exception) -> str:
    """The text of an error; for a file that cannot be read or written, its name and why."""
    return f"{error.filename}: {error.strerror}" if isinstance(error, OSError) and error.filename else str(error)


def __getattr__(name: str) -> Any:
    """`start_run`, imported when it is first used: importing the package does nothing."""
    if name != "start_run":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from trackstack.tracking.run import start_run

    return start_run
