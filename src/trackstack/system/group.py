"""Files that a group shares: what lies in a folder of a group is made for all of it."""

from __future__ import annotations

import os
import stat
from pathlib import Path

SHARED_FOLDER = 0o2770
"""Whatever is made in it belongs to its group, and nobody else looks in."""
SHARED_FILE = 0o660
PRIVATE_UMASK = 0o007


def is_shared(folder: Path) -> bool:
    """Whether a folder gives its group to what is made in it, and the group may write there."""
    try:
        mode = folder.stat().st_mode
    except OSError:
        return False
    return bool(mode & stat.S_ISGID and mode & stat.S_IWGRP)


def share_with_group(folder: Path) -> None:
    """From now on, if the folder is shared, this process and all that it starts make files for the folder's group."""
    if is_shared(folder):
        os.umask(PRIVATE_UMASK)
