"""The runs of a home: those that did not change out of the index, the others out of their journals."""

from __future__ import annotations

import gc
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack.records.index.file import Content, Entry, IndexedSeries, load, save
from trackstack.records.index.fingerprint import Fingerprint, fingerprint, refreshed
from trackstack.records.index.rows import IndexedRun, Shapes

MANY = 200
"""So many runs to be read are said, and shown on a terminal; it may take more than a second."""
UNSAVED = 0.001
"""The part of the runs that may be read each time until the file is written anew."""


class RunIndex:
    """The runs of a home, oldest first."""

    def __init__(self, home: Path, entries: list[Entry], shapes: Shapes):
        self.folder = home / "runs"
        self._runs = str(self.folder)
        self._entries, self._shapes = entries, shapes

    def __iter__(self) -> Iterator[IndexedRun]:
        return self.runs()

    def runs(self) -> Iterator[IndexedRun]:
        """Every series, and a run of status `damaged` for every folder without one that can be read."""
        every = [(entry, series) for entry in self._entries for series in entry.series]
        # At once, since ten thousand calls cost as much as what they read.
        facts = json.loads(b"[%s]" % b",".join(series.lines.facts for _, series in every))
        return (self._run(*one, known) for one, known in zip(every, facts, strict=True))

    def newest(self) -> IndexedRun | None:
        """The one that started last; None where there is none."""
        return self._run(self._entries[-1], self._entries[-1].series[-1]) if self._entries else None

    def find(self, key: str) -> list[IndexedRun]:
        """The series of this id or name; else those whose ids begin like this. Damaged folders have none."""
        every = [(entry, series) for entry in self._entries for series in entry.series if series.number]
        exact = [found for found in every if key in (found[1].key, found[1].name)]
        return [self._run(*found) for found in exact or [one for one in every if one[1].key.startswith(key)]]

    def damage_of(self, key: str) -> list[str]:
        """What is damaged in the first damaged folder whose name begins like this."""
        return next((entry.damage for entry in self._entries if entry.folder.startswith(key) and entry.damage), [])

    def damage(self) -> list[str]:
        """Whatever is damaged, a line each."""
        return list(dict.fromkeys(text for entry in self._entries for text in entry.damage))

    def _run(self, entry: Entry, series: IndexedSeries, known: list[Any] | None = None) -> IndexedRun:
        facts = json.loads(series.lines.facts) if known is None else known
        return IndexedRun(self._runs, entry.folder, series.number, facts, series.lines, self._shapes, entry.damage)


def read_index(home: Path) -> RunIndex:
    """All runs of a home. The index is brought up to date where one may write there."""
    was_on = gc.isenabled()
    gc.disable()  # which would look through the same lists again and again
    try:
        return _read(home)
    finally:
        if was_on:
            gc.enable()


def _read(home: Path) -> RunIndex:
    began = time.time()
    content = load(home)
    current: dict[str, Entry] = {}
    to_read: dict[str, Fingerprint] = {}
    for name in _folder_names(home):
        folder = f"{home}/runs/{name}"
        known = content.entries.get(name)
        try:
            found = refreshed(folder, known.fingerprint) if known else fingerprint(folder)
        except OSError:  # to be named by whoever reads it; or it is being made anew
            found = Fingerprint((0, 0), (), ())
        if known is None or not _is_current(folder, known, found):
            to_read[name] = found
        else:
            current[name] = known if known.fingerprint == found else known._replace(fingerprint=found)
    try:
        for name, entry in _entries(home, to_read, content.shapes):
            current[name] = entry
    finally:  # also when it was interrupted: what was read need not be read again
        _keep(home, content, current, began)
    shown = [entry for entry in current.values() if entry.series]
    return RunIndex(home, sorted(shown, key=_age), content.shapes)


def _keep(home: Path, before: Content, current: dict[str, Entry], began: float) -> None:
    """Write the index anew when enough of it has changed."""
    changed = [entry for name, entry in current.items() if before.entries.get(name) is not entry]
    changes = sum(entry.fingerprint.is_settled(began) for entry in changed) + len(
        before.entries.keys() - current.keys()
    )
    if changes > UNSAVED * len(current):
        save(home, [entry for entry in current.values() if entry.fingerprint.is_settled(began)], before.shapes)


def _is_current(folder: str, known: Entry, found: Fingerprint) -> bool:
    """Whether a run is as it was read."""
    if known.live is None and known.fingerprint == found:
        return True
    if (known.fingerprint.names, known.fingerprint.files) != (found.names, found.files):
        return False
    if known.live is not None:
        from trackstack.system.lease import is_live

        if is_live(Path(folder)) != known.live:
            return False
    if known.fingerprint.folder == found.folder:
        return True
    from trackstack.tracking.delivery.note import read_note

    return set(read_note(Path(folder)).get("ended", [])) <= set(
        known.ended
    )  # else an end that was delivered is missing


def _folder_names(home: Path) -> list[str]:
    try:
        with os.scandir(home / "runs") as found:
            return [entry.name for entry in found if not entry.name.startswith(".") and entry.is_dir()]
    except OSError:
        return []


def _entries(home: Path, to_read: dict[str, Fingerprint], shapes: Shapes) -> Iterator[tuple[str, Entry]]:
    """What the journals of some runs say; folders that are no runs are left out."""
    if not to_read:
        return
    from rich.progress import track

    if len(to_read) > MANY:
        print(f"reading the records of {len(to_read):,} runs; the next time only what has changed", file=sys.stderr)
    for name in track(to_read, "reading", disable=len(to_read) <= MANY or not sys.stderr.isatty(), transient=True):
        if (entry := _entry(home / "runs" / name, to_read[name], shapes)) is not None:
            yield name, entry


def _entry(folder: Path, found: Fingerprint, shapes: Shapes) -> Entry | None:
    from trackstack.records.index.making import labels_and_damage, lines_of, lines_of_damaged
    from trackstack.records.reading import read_run
    from trackstack.tracking.delivery.note import SYNC_NOTE

    if not found.has_journal and found.folder != (0, 0) and not (folder / SYNC_NOTE).exists():
        return None
    record = read_run(folder)
    damage, series = list(record.damage), []
    for run in record.series:
        one, (labels, damaged) = run.series, labels_and_damage(run)
        damage += damaged
        lines = lines_of(run, labels, bool(record.damage), shapes)
        series.append(IndexedSeries(one.key, one.start["name"], one.number, one.start["time"], lines))
    if damage and not series:
        series = [IndexedSeries(folder.name, None, 0, None, lines_of_damaged(record, shapes))]
    return Entry(folder.name, found, record.live, record.ended, damage, series)


def _age(entry: Entry) -> tuple[float, int, str]:
    """When it started; where nobody knows, or several did at once, when its files last changed."""
    started = [series.started for series in entry.series if series.started is not None]
    changed = min(entry.fingerprint.files[1::3], default=entry.fingerprint.folder[0])
    return min(started, default=changed / 1e9), changed, entry.folder
