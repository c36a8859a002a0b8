"""A mistake in a person's script is one line with its place in the script; everything else is shown as always."""

from __future__ import annotations

import sys
import traceback
from pathlib import Path
from types import TracebackType

from trackstack import UserError, describe_error
from trackstack.tracking.script.identity import PACKAGE

_before = sys.excepthook


def show_mistakes_in_one_line() -> None:
    """From now on, in this process."""
    global _before
    if sys.excepthook is not _show:
        _before, sys.excepthook = sys.excepthook, _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not isinstance(error, UserError):
        _before(kind, error, trace)
        return
    frames = [frame for frame in traceback.extract_tb(trace) if not Path(frame.filename).is_relative_to(PACKAGE)]
    place = f"{frames[-1].filename}, line {frames[-1].lineno}: " if frames else ""
    print(f"{place}{describe_error(error)}", file=sys.stderr)
