"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import json
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from trackstack import UserError
from trackstack.core.digest import digest_json

METADATA_KEY = "trackstack"
"""Of a safetensors file's metadata: one key that holds JSON, since several are written in a random order."""
CHECKSUM = "checksum"
"""The key of a JSON file that holds the digest of all the others."""


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


def remove(path: Path) -> None:
    """Remove a file, or a folder that is in its place; nothing where there is none."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON value for people and for git: indented, in the given order of keys, NaN refused."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.partial")
    text = json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    # What is no text, as in the name of a file, becomes JSON's own escape, and the same again when it is read.
    partial.write_text(text, encoding="utf-8", errors="backslashreplace")
    partial.replace(path)


def sealed(value: dict[str, Any]) -> dict[str, Any]:
    """The value with a checksum of itself, by which `read_json` sees a flipped byte."""
    return value | {CHECKSUM: digest_json(value)[:12]}


def read_json(path: Path, todo: str) -> dict[str, Any]:
    """The object in a JSON file that was written by us, without its checksum, which is verified if there is one.

    Args:
        todo: how it is mended, the end of the error's line.

    Raises:
        FileNotFoundError: there is none.
        UserError: it cannot be read, or is not what was written.
    """
    try:
        value = json.loads(path.read_bytes())
        intact = isinstance(value, dict) and value.pop(CHECKSUM, None) in (None, digest_json(value)[:12])
        reason = "its content is not what was written"
    except FileNotFoundError:
        raise
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {todo}") from None
    except json.JSONDecodeError as error:
        intact, reason = False, f"line {error.lineno}, column {error.colno}: {error.msg}"
    except UnicodeDecodeError as error:
        intact, reason = False, f"byte {error.start + 1} is not UTF-8"
    except ValueError as error:  # a number or a text that JSON allows and nobody wrote
        intact, reason = False, str(error)
    if not intact:
        raise UserError(f"{path}: damaged ({reason}); {todo}")
    return value
