"""The log of a search: JSON lines that are only ever appended, by whoever holds its lock.

Each line is one `event`:

    begin     trials, budget            how many trials there are to be, and the hours they may take together; typed
                                        again, the last one counts
    suggest   trial, values, seen, versions                the sampler's proposal
    rung      trial, member, rung, value                   a member of a trial got that far
    promote   trial, rung                                  the trial goes on beyond this rung
    again     trial, member, step                          from here to its last rung it is computed once more, since
                                                           no checkpoint was kept at that rung
    end       trial, member, values, rungs                 a member's training is complete; what it had at each rung
    fail      trial, member, reason                        the trial cannot be completed
    spent     trial, member, hours                         of one start of a member, whatever came of it
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.system.locks import locked

Event = dict[str, Any]
PATIENCE_SECONDS = 300.0
"""For the lock: whoever has it reads the log and asks a sampler, some seconds at most."""


class DecisionLog:
    """The log, held by its lock: read whole, and open to be appended to."""

    def __init__(self, path: Path):
        self.path = path
        self.events = read_events(path)
        self._forget_torn_line()

    def append(self, *events: Event) -> None:
        """Write events: all of them are on disk afterwards, or, after a kill or on a full disk, the first of them.

        Raises:
            OSError: there is no room.
        """
        lines = "".join(json.dumps(event, ensure_ascii=False, allow_nan=False) + "\n" for event in events).encode()
        file = os.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        try:
            while lines:  # a disk that is about to be full takes a part
                lines = lines[os.write(file, lines) :]
            os.fsync(file)
        finally:
            os.close(file)
        self.events += events

    def _forget_torn_line(self) -> None:
        """What a kill has cut short was never decided."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        whole = content.rfind(b"\n") + 1
        if whole < len(content):
            print(f"{self.path}: its last line was cut short, and is removed", file=sys.stderr)
            os.truncate(self.path, whole)


@contextlib.contextmanager
def opened(path: Path) -> Iterator[DecisionLog]:
    """Hold the log's lock during the block.

    Raises:
        UserError: another process has held it for minutes, or a line of the log is damaged.
    """
    with locked(path.with_suffix(".lock"), PATIENCE_SECONDS) as mine:
        if not mine:
            raise UserError(f"{path}: another process keeps it locked; stop it, or wait, and type this again")
        yield DecisionLog(path)


def read_events(path: Path) -> list[Event]:
    """All whole lines; none where there is no log yet.

    Raises:
        UserError: a line is not what was written.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    events = []
    for number, line in enumerate(content[: content.rfind(b"\n") + 1].splitlines(), 1):
        try:
            event = json.loads(line)
            if not isinstance(event, dict) or "event" not in event:
                raise ValueError
        except ValueError:
            raise UserError(
                f"{path}: line {number} is damaged; put the file back as it was, or begin another search: -n NAME"
            ) from None
        events.append(event)
    return events
