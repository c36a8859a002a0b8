"""The verdicts on a run, kept in its folder: by whom it was reproduced, where, when, and how it came out."""

from __future__ import annotations

import socket
from typing import Any

from trackstack.core.digest import digest_json
from trackstack.core.files import read_json, sealed, write_json
from trackstack.system.git import user_name
from trackstack.tracking.journal import now
from trackstack.tracking.sinks import Series

FOLDER = "reproductions"


def keep_verdict(series: Series, verdict: dict[str, Any]) -> dict[str, Any]:
    """Write a verdict beside the run's journals, by a name that no other can have; returns it with who and when.

    Raises:
        OSError: the run's folder cannot be written, as in somebody else's home.
    """
    who = {"by": user_name(), "host": socket.gethostname(), "time": now()}
    note = {"run": series.run, "series": series.number} | who | verdict
    write_json(series.folder / FOLDER / f"{digest_json(note)[:12]}.json", sealed(note))
    return note


def verdicts_on(series: Series) -> list[dict[str, Any]]:
    """The verdicts on a series, oldest first.

    Raises:
        UserError: one is damaged.
    """
    found = [read_json(path, "move it aside, and reproduce again") for path in series.folder.glob(f"{FOLDER}/*.json")]
    return sorted((note for note in found if note["series"] == series.number), key=lambda note: note["time"])
