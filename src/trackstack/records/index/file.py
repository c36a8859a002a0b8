"""The index's file, `runs/.index`: a line that says what it is, one with all folders, then two lines per run.

It is written whole and renamed into place, so that a reader has the old one or the new one, and of two writers the
last one wins. Its first line has the checksum of all others.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
import uuid
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from trackstack.records.index.fingerprint import Fingerprint
from trackstack.records.index.rows import Lines, Shapes

FORMAT = 3
"""To be raised with every change of what the lines hold."""
KILLED_SECONDS = 3600
"""Nobody writes an index for so long."""


class IndexedSeries(NamedTuple):
    """By what a series is found, and its lines."""

    key: str
    name: str | None
    number: int
    started: float | None
    lines: Lines


class Entry(NamedTuple):
    """A run's folder as it was read."""

    folder: str
    """Its name."""
    fingerprint: Fingerprint
    live: bool | None
    ended: tuple[int, ...]
    """As `RunRecord` has them."""
    damage: list[str]
    series: list[IndexedSeries]


class Content(NamedTuple):
    """What the file holds."""

    entries: dict[str, Entry]
    """By folder."""
    shapes: Shapes


def index_file(home: Path) -> Path:
    """Beside the folders of runs, none of which begins with a point."""
    return home / "runs/.index"


def load(home: Path) -> Content:
    """What was kept; nothing where there is no whole index of this version."""
    try:
        data = index_file(home).read_bytes()
        heading, _, rest = data.partition(b"\n")
        if heading == _heading(home, rest):
            return _content(rest)
    except (OSError, ValueError, TypeError, LookupError):
        pass
    return Content({}, Shapes())


def save(home: Path, entries: Iterable[Entry], shapes: Shapes) -> None:
    """Keep what was read; where one may not write, or there is no room, it is read again the next time."""
    head, lines = [], []
    for entry in entries:
        found = [[*one[:-1]] for one in entry.series]
        head.append([entry.folder, *entry.fingerprint, entry.live, entry.ended, entry.damage, found])
        lines += [line for one in entry.series for line in one.lines]
    first = json.dumps([shapes.as_json(), head], separators=(",", ":")).encode()
    rest = b"\n".join([first, *lines])
    file = index_file(home)
    partial = file.with_name(f".index.{uuid.uuid4().hex[:8]}.partial")
    with contextlib.suppress(OSError):
        for left in file.parent.glob(".index.*.partial"):  # by a writer that was killed
            if left.stat().st_mtime < time.time() - KILLED_SECONDS:
                left.unlink()
        try:
            partial.write_bytes(b"%s\n%s" % (_heading(home, rest), rest))
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)


def _heading(home: Path, rest: bytes) -> bytes:
    """Of a home that was moved nothing is taken, since what is damaged is named by its path."""
    return b"trackstack index %d %08x" % (FORMAT, zlib.crc32(rest, zlib.crc32(os.fsencode(home))))


def _content(rest: bytes) -> Content:
    first, *lines = rest.split(b"\n")
    shapes, head = json.loads(first)
    entries, at = {}, 0
    for folder, own, names, files, live, ended, damage, found in head:
        series = []
        for key, name, number, started in found:
            series.append(IndexedSeries(key, name, number, started, Lines(lines[at], lines[at + 1])))
            at += 2
        known = Fingerprint(tuple(own), tuple(names), tuple(files))
        entries[folder] = Entry(folder, known, live, tuple(ended), damage, series)
    return Content(entries, Shapes(shapes))
