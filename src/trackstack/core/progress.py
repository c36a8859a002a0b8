"""Progress of long work on a terminal; nothing in a log or a pipe."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TimeRemainingColumn,
    TransferSpeedColumn,
)


@contextlib.contextmanager
def progress(what: str, total: int) -> Iterator[Callable[[int], object]]:
    """Yield a function that takes the number of bytes done so far, of `total`."""
    columns = (BarColumn(), DownloadColumn(), TransferSpeedColumn(), TimeRemainingColumn())
    console = Console(stderr=True)
    quiet = not sys.stderr.isatty()
    with Progress("{task.description}", *columns, console=console, transient=True, disable=quiet) as bar:
        task = bar.add_task(what, total=total)
        yield lambda done: bar.update(task, completed=done)


def after(done: int, show: Callable[[int], object]) -> Callable[[int], object]:
    """`show` for the next part of the work, which counts from 0."""
    return lambda part: show(done + part)
