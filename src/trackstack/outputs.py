"""The stages' output folders: the names inside them, and writing that never leaves half a one."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROWS_FILE = "rows.parquet"
PROFILE_FILE = "profile.json"
REJECTED_FILE = "rejected.csv"

CACHE_FILE = "tensors.safetensors"
METADATA_KEY = "trackstack"  # one key only: safetensors writes several in a random order
SPLITS = ("train", "val", "test")

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"


@contextlib.contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Yield an empty folder beside `path` that takes its place when the block ends without an error."""
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        shutil.rmtree(path, ignore_errors=True)
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value for people and for git: indented, in the given order of keys, NaN refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(
        json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    partial.replace(path)
