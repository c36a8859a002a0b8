"""Programs that we start, and this one: what they say is text whatever its bytes, and can be printed anywhere."""

from __future__ import annotations

import gc
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from trackstack.system.git import forget_outer_repository, user_name

BYTES_SURVIVE = "surrogateescape"
"""How we decode: names of files are bytes, and what is no UTF-8 comes out as it went in."""


USER_NAMES = ("LOGNAME", "USER", "LNAME", "USERNAME")
"""Where Python looks for a person's name before it asks the machine, which in a container may have none."""
PERSONS_PYTHONPATH = "TRACKSTACK_PERSONS_PYTHONPATH"
"""What PYTHONPATH was before a checkout's own code took its place: for the doctor to look at."""


def run_program(
    command: Sequence[str],
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
    timeout: float | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a program to its end, without input, and return it with its output as text.

    Raises:
        OSError, subprocess.TimeoutExpired: as `subprocess.run`.
    """
    return subprocess.run(
        command,
        cwd=cwd,
        env=env,
        timeout=timeout,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        errors=BYTES_SURVIVE,
        check=False,
    )


def begin_process() -> None:
    """What each of our programs does first: forget git's outer repository, have a name, be able to print any text.

    And look for garbage less often: torch, DVC and matplotlib make hundreds of thousands of objects that stay, and to
    go through them again and again is a tenth of a short stage.
    """
    gc.set_threshold(10_000, 20, 20)
    forget_outer_repository()
    if not any(os.environ.get(name) for name in USER_NAMES):
        os.environ["USER"] = user_name()  # DVC and torch do not start for a person without one
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            is_utf8 = (stream.encoding or "").replace("-", "").lower() == "utf8"
            stream.reconfigure(errors=BYTES_SURVIVE if is_utf8 else "backslashreplace")
