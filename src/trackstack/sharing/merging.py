"""The files of a run's record from two places put together: nothing is overwritten, nothing is there twice.

One rule for both directions: `push` merges a home into what the remote has, `pull` what the remote has into a home.
Attempts are numbered anew where both places have the number; notes, such as a promotion, are compared with what both
places had last (`base`), so that a change replaces what it changed, and two changes are kept side by side.
"""

from __future__ import annotations

import hashlib
import re
from pathlib import Path, PurePosixPath
from typing import NamedTuple

from trackstack.sharing.attempts import SharedAttempt, moved_artifact, numbers_there
from trackstack.tracking.journal import JOURNAL

ARTIFACT = re.compile(r"artifacts/(\d{1,9})/.+")
NOTE = re.compile(r"(?:(?:beside|reproductions)/)?[\w.~@+-]+\.(?:json|md)")
NOTE_SUFFIXES = (".json", ".md")
NUMBERED_NOTE = re.compile(r"(.+-)(\d+)(\.json|\.md)")
"""A note about one series, such as `promoted-1.json`: its number moves with the attempt that began the series."""
BESIDE = "beside"
"""The folder of notes that another home has of the same name: `beside/DIGEST-NAME`."""
DIGEST_LETTERS = 8


class Content(NamedTuple):
    """What a file holds."""

    sha256: str
    size: int
    data: bytes | None = None
    """None where it is large, and lies elsewhere:"""
    path: Path | None = None
    md5: str | None = None
    """Of its object in DVC's cache."""


Files = dict[str, Content]
"""By path in the run's folder. The kept copies that a home has already may lack digest and size."""


def content_of(data: bytes) -> Content:
    """The content that these bytes are."""
    return Content(hashlib.sha256(data).hexdigest(), len(data), data)


def attempts_of(files: Files) -> list[SharedAttempt]:
    """The attempts whose start can be read, first to last."""
    found = []
    for name, content in files.items():
        if (match := JOURNAL.fullmatch(name)) and content.data is not None:
            try:
                found.append(SharedAttempt(int(match[1]), content.data))
            except ValueError:
                continue
    return sorted(found, key=lambda attempt: attempt.number)


def merge(target: Files, incoming: Files, base: Files) -> Files:
    """The files of `target`, and beside them what only `incoming` has.

    Args:
        base: what both had when they were last the same; empty where that was never.
    """
    here, there = attempts_of(target), attempts_of(incoming)
    numbers = numbers_there(here, there)
    merged = target | _journals(here, there, numbers)
    for name, content in incoming.items():
        if match := ARTIFACT.fullmatch(name):
            number = numbers.get(int(match[1]))
            if number is not None:
                merged.setdefault(moved_artifact(name, number), content)
    notes = _notes(target), _notes(incoming, numbers), _notes(base, numbers_there(here, attempts_of(base)))
    kept = {name: content for name, content in merged.items() if name not in notes[0]}
    return kept | _merged_notes(*notes)


def _journals(here: list[SharedAttempt], there: list[SharedAttempt], numbers: dict[int, int]) -> Files:
    """The journals that are new to the target, or have grown since."""
    known = {attempt.number: attempt for attempt in here}
    found = {}
    for attempt in there:
        number = numbers[attempt.number]
        before = known[number].content if number in known else b""
        if attempt.content != before and attempt.content.startswith(before):
            series = numbers.get(attempt.start["series"], number)
            found[f"journal-{number}.jsonl"] = content_of(attempt.journal(number, series))
    return found


def _notes(files: Files, numbers: dict[int, int] | None = None) -> Files:
    found = {}
    for name, content in files.items():
        if NOTE.fullmatch(name):
            match = NUMBERED_NOTE.fullmatch(name)
            number = (numbers or {}).get(int(match[2])) if match and "/" not in name else None
            found[f"{match[1]}{number}{match[3]}" if match and number is not None else name] = content
    return found


def _merged_notes(target: Files, incoming: Files, base: Files) -> Files:
    merged = dict(target)
    for name in sorted({*incoming, *base}, key=lambda name: (not name.startswith(f"{BESIDE}/"), name)):
        mine, other, before = (place[name].sha256 if name in place else None for place in (target, incoming, base))
        if other in (mine, before):
            continue
        if other is None:
            if mine == before:
                merged.pop(name, None)
        elif mine is None or (mine == before and _beside(name, mine) not in incoming):
            if not _is_known_beside(name, target):
                merged[name] = incoming[name]
        else:
            merged.setdefault(_beside(name, other), incoming[name])
    return merged


def _beside(name: str, sha256: str) -> str:
    return f"{BESIDE}/{sha256[:DIGEST_LETTERS]}-{PurePosixPath(name).name}"


def _is_known_beside(name: str, target: Files) -> bool:
    """Whether a note that lies beside another one in the incoming files is the target's own."""
    folder, _, rest = name.rpartition("/")
    digest, _, own = rest.partition("-")
    return folder == BESIDE and own in target and target[own].sha256.startswith(digest)
