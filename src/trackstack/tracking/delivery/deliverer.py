"""The deliverer of a home: it goes round the runs that wait, and lingers for the next ones.

It takes over what another one left that was killed, here or, where the writer has ended, on another host.
"""

from __future__ import annotations

import contextlib
import gc
import os
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path

from trackstack import UserError, describe_error
from trackstack.system.lease import is_live
from trackstack.system.locks import holds_lock, try_lock, unlock
from trackstack.tracking.delivery.note import read_note, write_note
from trackstack.tracking.delivery.place import Place, Waiting
from trackstack.tracking.delivery.served_run import ServedRun, Shared
from trackstack.tracking.sinks import deliver_many

ROUND_SECONDS, STEP_SECONDS, LOOK_SECONDS, OTHERS_SECONDS = 0.1, 0.5, 1.0, 10.0
LINGER_SECONDS = 20.0
"""Long enough for the next run of somebody who starts one after the other."""


class Deliverer:
    """Serves the runs that wait at a place, while this process holds its lock."""

    def __init__(self, place: Place):
        self.place = place
        self._wake = threading.Event()
        self._shared = Shared(lambda _: self._wake.set())
        self._runs: dict[Path, ServedRun] = {}
        self._changed, self._is_mine = 0, True
        self._look_at, self._others_at = 0.0, 0.0
        self._others: dict[Path, Waiting] = {}
        self._failed: set[Path] = set()

    def serve(self) -> None:
        """Deliver until nothing has waited for a while, or the home is gone."""
        idle_since, step_at, is_awake = time.monotonic(), 0.0, False
        while self._is_mine or self._runs:
            has_looked = self._take_entries()
            if has_looked or is_awake or time.monotonic() > step_at:  # else every run only waits for its next turn
                step_at = time.monotonic() + STEP_SECONDS
                for folder, run in list(self._runs.items()):
                    self._step(folder, run)
            if self._runs:
                idle_since = time.monotonic()
            elif time.monotonic() - idle_since > LINGER_SECONDS:
                unlock(self.place.lock)
                # A run that came in this moment has seen a deliverer.
                if not any(self.place.list_waiting()) or not try_lock(self.place.lock):
                    return
                idle_since = time.monotonic()
            is_awake = self._wake.wait(ROUND_SECONDS)
            self._wake.clear()

    def _step(self, folder: Path, run: ServedRun) -> None:
        try:
            next(run.steps)
        except StopIteration:
            del self._runs[folder]
            self._look_at = 0.0
        except Exception as error:  # whatever is wrong with a run, the others are delivered
            del self._runs[folder]
            self._failed |= run.entries.keys()
            reason = describe_error(error) if isinstance(error, UserError | OSError) else repr(error)
            print(f"{folder.name}: {reason}", file=sys.stderr, flush=True)
            _note_failure(folder, reason)
            for file, entry in run.entries.items():
                if entry.ended or not folder.exists():
                    file.unlink(missing_ok=True)

    def _take_entries(self) -> bool:
        """See who waits: when the folder has changed, and now and then, as its time stamp is coarse.

        Returns:
            Whether it looked.
        """
        now = time.monotonic()
        with contextlib.suppress(OSError):
            changed = self.place.waiting.stat().st_mtime_ns
            if changed == self._changed and now < self._look_at:
                return False
            self._look_at = now + (LOOK_SECONDS if changed == self._changed else ROUND_SECONDS)
            self._changed = changed
        self._is_mine = holds_lock(self.place.lock)  # not where the home was removed
        found: defaultdict[Path, dict[Path, Waiting]] = defaultdict(dict)
        for entry in (*self.place.list_waiting(), *self._left_by_others(now)):
            if entry.ended or entry.file not in self._failed:
                found[self.place.home / "runs" / entry.run][entry.file] = entry
        for folder, entries in found.items():
            if not folder.is_dir():  # it was removed, and a lock in it would make it anew
                for file in entries:
                    file.unlink(missing_ok=True)
                continue
            if folder not in self._runs:
                self._runs[folder] = ServedRun(folder, self._shared)
            self._runs[folder].update(entries)
        if self._runs:
            self._shared.workers.look(self._shared.back_ends.waiting.copy())
        return True

    def _left_by_others(self, now: float) -> list[Waiting]:
        """Runs that have ended on other hosts, whose deliverer has ended, too."""
        if now >= self._others_at:
            self._others_at = now + OTHERS_SECONDS
            self._others = {
                entry.file: entry
                for other in self.place.others()
                if any(other.waiting.glob("[!.]*")) and not other.is_served()
                for entry in other.list_waiting()
                if not is_live(self.place.home / "runs" / entry.run)
            }
        self._others = {file: entry for file, entry in self._others.items() if file.exists()}
        return list(self._others.values())


def _note_failure(folder: Path, reason: str) -> None:
    """Tell a run that waits that its delivery failed as a whole."""
    note = read_note(folder)
    note["problems"] = {**note.get("problems", {}), "sync": reason}
    write_note(folder, note)


def serve(place: Place) -> None:
    """Be the deliverer of a place, and end the process, whatever its threads do."""
    # MLflow makes millions of objects that stay; to look through them for garbage again and again takes long.
    gc.set_threshold(100_000, 20, 20)
    deliver_many()
    Deliverer(place).serve()
    sys.stderr.flush()
    os._exit(0)
