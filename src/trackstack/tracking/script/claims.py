"""The runs that this process records: a lock of the file system keeps other processes off, and no thread of it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from trackstack import UserError
from trackstack.system.lease import give_back_lease

_claims: dict[Path, object] = {}
os.register_at_fork(after_in_child=_claims.clear)  # a forked process records none of its parent's


@contextlib.contextmanager
def claimed(folder: Path) -> Iterator[None]:
    """Begin to record the run in `folder`, until `release`, or until the block fails; then others may, too.

    Raises:
        UserError: this process records it already.
    """
    mine = object()
    if _claims.setdefault(folder, mine) is not mine:  # one step, which no other thread comes between
        raise UserError(f"start_run: run {folder.name} is being recorded by this process; run.finish() ends it")
    try:
        yield
    except BaseException:
        give_back_lease(folder)
        release(folder)
        raise


def release(folder: Path) -> None:
    """Record it no more."""
    _claims.pop(folder, None)
