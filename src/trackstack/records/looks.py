"""Looks at test figures while somebody chose, noted with each run: what was chosen by is no test any more."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.files import read_json, sealed, write_json
from trackstack.system.git import user_name
from trackstack.system.locks import locked
from trackstack.tracking.journal import now
from trackstack.tracking.sinks import Series

TODO = "move it aside, and say so where you report test figures"
PATIENCE = 60
"""Seconds for which somebody else's look is waited for."""


def note_look(series: list[Series], metrics: list[str]) -> None:
    """Note in the folder of each run who looked at which test metrics, and when.

    Raises:
        UserError: it cannot be noted, and so must not be shown.
    """
    look = {"id": uuid.uuid4().hex[:12], "time": now(), "user": user_name(), "metrics": metrics}
    if not series:
        return
    home = series[0].home
    try:
        with locked(home / "runs/.looks.lock", PATIENCE) as mine:
            if not mine:
                raise UserError(f"{home / 'runs/.looks.lock'}: held for more than {PATIENCE} s; try again")
            known = [looks_at(one) for one in series]
            for one, looks in zip(series, known, strict=True):
                write_json(_file(one), sealed({"looks": [*looks, look]}))
    except OSError as error:
        raise UserError(
            f"{error.filename}: {error.strerror}: a look at test figures cannot be noted, so they stay hidden; "
            "expected a home that you may write to"
        ) from None


def looks_at(series: Series) -> list[dict[str, Any]]:
    """The looks at a run's test figures, oldest first: id, time in seconds since 1970, user, metrics.

    Raises:
        UserError: a note is damaged.
    """
    note = _file(series)
    # What a colleague noted meanwhile lies beside one's own, where `trackstack pull` has put it.
    files = [*([note] if note.exists() else []), *series.folder.glob(f"beside/*-{note.name}")]
    found = [look for file in files for look in read_json(file, TODO)["looks"]]
    return sorted({digest_json(look): look for look in found}.values(), key=lambda look: look["time"])


def count_looks(series: list[Series]) -> tuple[int, list[str]]:
    """How often test figures of some of the runs were looked at, together once; and which notes are damaged."""
    looks, damaged = set(), []
    for one in series:
        try:
            looks |= {digest_json(look) for look in looks_at(one)}
        except UserError as error:
            damaged.append(str(error))
    return len(looks), damaged


def _file(series: Series) -> Path:
    return series.folder / f"test-looks-{series.number}.json"
