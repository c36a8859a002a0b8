"""SHA-256 digests of files, JSON values and arrays: they say which data a stage read, and name a run."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def canonical_json(value: Any) -> str:
    """JSON text that is the same for equal values: sorted keys, no spaces, no NaN."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def digest_json(value: Any) -> str:
    """The digest of a JSON value, whatever the order of its keys; names of files may hold what is no text."""
    return hashlib.sha256(canonical_json(value).encode("utf-8", "surrogatepass")).hexdigest()


def digest_file(path: Path) -> str:
    """The digest of a file's bytes, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_path(path: Path) -> str:
    """The digest of a file, or of a folder: names and contents of all files in it."""
    if not path.is_dir():
        return digest_file(path)
    files = sorted(file for file in path.rglob("*") if file.is_file())
    return digest_json({file.relative_to(path).as_posix(): digest_file(file) for file in files})


def digest_arrays(arrays: dict[str, np.ndarray]) -> str:
    """The digest of named arrays: names, types, shapes and bytes, in the order of the names."""
    import numpy as np  # a fifth of a second that commands do without

    digest = hashlib.sha256()
    for name in sorted(arrays):
        array = np.ascontiguousarray(arrays[name])
        digest.update(array_heading(name, array.dtype, array.shape))
        digest.update(array.data)
    return digest.hexdigest()


def array_heading(name: str, dtype: np.dtype, shape: tuple[int, ...]) -> bytes:
    """What `digest_arrays` reads before an array's bytes, for code that writes the array piece by piece."""
    return f"{name}:{dtype.str}:{shape}\n".encode()
