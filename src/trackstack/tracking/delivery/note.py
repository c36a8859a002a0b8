"""How far the delivery of a run is: the note `sync.json` in its folder, of whoever delivers it, for whoever waits."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.files import read_json, sealed, write_json

SYNC_LOCK, SYNC_NOTE = "sync.lock", "sync.json"


def read_note(folder: Path) -> dict[str, Any]:
    """How far the delivery of a run is.

    `counts` of records by sink and series, `ended` attempts whose points are out, and those that are `filed`,
    `problems` by sink; `pid` of the process that delivers, the sinks that it is `doing`, by attempt those that keep
    it `held_up`, and whether it `waits` for its turn at one.
    """
    try:
        return read_json(folder / SYNC_NOTE, "")
    except (UserError, OSError):  # what it says is only found out anew
        return {}


def write_note(folder: Path, note: dict[str, Any]) -> None:
    """Replace the note, unless there is no room: without it the delivery begins anew, which changes nothing."""
    with contextlib.suppress(OSError):
        write_json(folder / SYNC_NOTE, sealed(note))
