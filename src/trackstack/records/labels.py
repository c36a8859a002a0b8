"""What people say of a run: tags and notes, kept in its folder, so that they travel with it.

The file of a series is a list of entries that only grows. What a colleague wrote meanwhile lies beside it, where
`trackstack pull` has put it, and both are read as one list: nobody overwrites anybody.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from trackstack import UserError
from trackstack.core.digest import digest_json
from trackstack.core.files import read_json, sealed, write_json
from trackstack.system.git import user_name
from trackstack.system.locks import locked
from trackstack.system.redaction import redact
from trackstack.tracking.journal import now

TODO = "move it aside, and tag the run again"
PATIENCE = 60
"""Seconds for which somebody else who writes is waited for."""
TAG = re.compile(r"[\w.:/+@-]{1,60}")
LONGEST_NOTE = 2000


class Labels(NamedTuple):
    """The tags that a run has, in the order in which they were given, and its notes, oldest first."""

    tags: list[str]
    notes: list[dict[str, Any]]
    """Each with `time` in seconds since 1970, `user` and `text`."""


def tag_runs(runs: Sequence[tuple[Path, int]], tags: Sequence[str], remove: bool = False) -> None:
    """Give tags to series, each by its folder and number, or take them away.

    Raises:
        UserError: no tag, or a file that cannot be read or written.
    """
    for tag in tags:
        if not TAG.fullmatch(tag):
            raise UserError(f"{tag!r} is no tag; expected letters, digits and . : / + @ _ -, at most 60 of them")
    _append(runs, [{"tag": tag, "removed": remove} for tag in dict.fromkeys(tags)])


def add_note(folder: Path, number: int, text: str) -> None:
    """Add a note to a series.

    Raises:
        UserError: no text, or a file that cannot be read or written.
    """
    text = " ".join(text.split())
    if not 0 < len(text) <= LONGEST_NOTE or not text.isprintable():
        raise UserError(f"a note is a text of at most {LONGEST_NOTE} characters that can be printed")
    _append([(folder, number)], [{"note": redact(text)}])


def labels_of(folder: Path, number: int) -> Labels:
    """What people said of a series.

    Raises:
        UserError: a file is damaged.
    """
    tags: dict[str, None] = {}
    notes = []
    for entry in _entries(folder, number):
        if "note" in entry:
            notes.append({"time": entry["time"], "user": entry["user"], "text": entry["note"]})
        elif entry["removed"]:
            tags.pop(entry["tag"], None)
        else:
            tags.setdefault(entry["tag"])
    return Labels(list(tags), notes)


def _append(runs: Sequence[tuple[Path, int]], entries: list[dict[str, Any]]) -> None:
    """Add entries to the files of series, all of them or, where one is damaged, none."""
    who = {"time": now(), "user": user_name()}
    try:
        lock = runs[0][0].parent / ".labels.lock"
        with locked(lock, PATIENCE) as mine:
            if not mine:
                raise UserError(f"{lock}: held for more than {PATIENCE} s; try again")
            known = [_entries(*run) for run in runs]
            for run, before in zip(runs, known, strict=True):
                new = [entry | who | {"id": uuid.uuid4().hex[:12]} for entry in entries]
                write_json(_file(*run), sealed({"entries": [*before, *new]}))
    except OSError as error:
        raise UserError(f"{error.filename}: {error.strerror}; expected a home that you may write to") from None


def _entries(folder: Path, number: int) -> list[dict[str, Any]]:
    own = _file(folder, number)
    files = [*([own] if own.exists() else []), *sorted(folder.glob(f"beside/*-{own.name}"))]
    found = [entry for file in files for entry in _checked(read_json(file, TODO).get("entries"), file)]
    return sorted({digest_json(entry): entry for entry in found}.values(), key=lambda entry: entry["time"])


def _checked(entries: Any, file: Path) -> list[dict[str, Any]]:
    """What others wrote may be anything."""
    if not isinstance(entries, list) or not all(map(_is_entry, entries)):
        raise UserError(f"{file}: damaged (no list of tags and notes); {TODO}")
    return [{"removed": False} | entry for entry in entries]


def _is_entry(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get("time"), int | float):
        return False
    texts = [entry.get(name) for name in ("user", "note" if "note" in entry else "tag")]
    return all(isinstance(text, str) and text.isprintable() for text in texts)


def _file(folder: Path, number: int) -> Path:
    return folder / f"labels-{number}.json"
