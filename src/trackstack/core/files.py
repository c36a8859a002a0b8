"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

METADATA_KEY = "trackstack"
"""Of a safetensors file's metadata: one key that holds JSON, since several are written in a random order."""


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place when the block ends without an error."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        _replace(path, partial)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _replace(path: Path, new: Path) -> None:
    """Put `new` in the place of `path`, which is removed only then, and put back when that fails."""
    old = Path(tempfile.mkdtemp(prefix=f".{path.name}.old.", suffix=".partial", dir=path.parent)) / path.name
    try:
        if path.exists():
            path.rename(old)
        new.rename(path)
    except BaseException:
        if old.exists():
            old.rename(path)
        old.parent.rmdir()
        raise
    # On NFS a file that another process reads keeps its folder from being removed; the next time gets it.
    for left in path.parent.glob(f".{path.name}.old.*.partial"):
        shutil.rmtree(left, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value for people and for git: indented, in the given order of keys, NaN refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # What is no text, as in the name of a file, becomes JSON's own escape, and the same again when it is read.
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    partial.replace(path)
