"""A disk that is full: nothing is wrong with the work, and the same command goes on as soon as there is room."""

from __future__ import annotations

import errno
import io
import re
import sys
from typing import Any

MAKE_ROOM = "make room, and type the same again"
_MESSAGES = re.compile(
    r"No space left on device|Disk quota exceeded|Out of diskspace|disk is full|unable to write file \S*[^\s:](\s|$)"
    r"|No possible cache link types"
)
"""Of the C library, git, SQLite and DVC. Git does not say why it cannot write a file that it checks out, nor DVC why
of all kinds of links not even a copy can be made."""


def is_no_room(error: BaseException) -> bool:
    """Whether a file could not be written since there is no room for it."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)


def says_no_room(text: str) -> bool:
    """Whether a program complains of a full disk."""
    return _MESSAGES.search(text) is not None


class _Log(io.FileIO):
    """What there is no room for is lost."""

    def write(self, data: Any) -> int:
        try:
            return super().write(data)
        except OSError as error:
            if not is_no_room(error):
                raise
            return len(data)


def outlive_full_log() -> None:
    """Let this process go on when there is no room for what it prints: it watches over others."""
    for number, name in ((1, "stdout"), (2, "stderr")):
        stream = getattr(sys, name)
        stream.flush()
        log = io.BufferedWriter(_Log(number, "w", closefd=False))
        setattr(sys, name, io.TextIOWrapper(log, stream.encoding, stream.errors, line_buffering=True))
