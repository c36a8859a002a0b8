"""Copies of what a script hands over, for the back ends."""

from __future__ import annotations

import shutil
from pathlib import Path


def copy_artifact(path: Path, kept: Path) -> None:
    """A file, or the files of a folder; OSError at the first that there is no room for."""
    files = sorted(file for file in path.rglob("*") if file.is_file()) if path.is_dir() else [path]
    for file in files:
        copy = kept / file.relative_to(path)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, copy)
