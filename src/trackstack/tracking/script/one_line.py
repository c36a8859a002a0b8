"""A mistake in a person's script is one line with its place in the script, as is a record that has no room to begin;
everything else is shown as always.
"""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

from trackstack import UserError, describe_error
from trackstack.system.room import is_no_room
from trackstack.tracking.script.identity import PACKAGE

_before = sys.excepthook


def show_mistakes_in_one_line() -> None:
    """From now on, in this process."""
    global _before
    if sys.excepthook is not _show:
        _before, sys.excepthook = sys.excepthook, _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    every = traceback.extract_tb(trace)
    frames = [frame for frame in every if not Path(frame.filename).is_relative_to(PACKAGE)]
    no_room_for_record = is_no_room(error) and len(frames) < len(every)
    if not (isinstance(error, UserError) or no_room_for_record):
        _before(kind, error, trace)
        return
    place = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
    print(f"{place}{describe_error(error)}", file=sys.stderr)
