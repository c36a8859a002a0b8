"""The files of the tensor cache without torch: mapped as arrays, and compared with their digests.

The digest of a file is part of its metadata, and covers the metadata too. For the rows of a part of the signal stands
a digest of their own, which is quicker to find.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.windows.layout import SEGMENTS_FILE, SIGNAL_FOLDER, SPLITS_FILE
from trackstack import UserError
from trackstack.core.digest import digest_arrays, digest_json
from trackstack.core.files import METADATA_KEY

DTYPES: dict[str, np.dtype] = {
    "U8": np.dtype("u1"),
    "F32": np.dtype("<f4"),
    "F64": np.dtype("<f8"),
    "I64": np.dtype("<i8"),
}
"""In the order of https://github.com/huggingface/safetensors, whose files begin with the last of these."""
BLOCK_ROWS = 1 << 17
READ_BYTES = 1 << 20
ROWS = ("signal", "label")
"""The tensors of a part that have a row for each row of the data."""


def map_tensors(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata of a file, and its tensors, mapped read-only; ValueError or KeyError for another file."""
    metadata, entries, start = _read_header(path)
    content = np.memmap(path, np.uint8, mode="r", offset=0)[start:]
    tensors = {}
    for name, entry in entries.items():
        begin, end = entry["data_offsets"]
        tensors[name] = content[begin:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, tensors


def _read_header(path: Path) -> tuple[dict[str, Any], dict[str, Any], int]:
    """The metadata, an entry for each tensor, and where the tensors begin."""
    with path.open("rb") as file:
        num_bytes = int.from_bytes(file.read(8), "little")
        if num_bytes + 8 > path.stat().st_size:
            raise ValueError("it is cut short")
        entries = json.loads(file.read(num_bytes))
    return json.loads(entries.pop("__metadata__")[METADATA_KEY]), entries, 8 + num_bytes


class RowsDigest:
    """Of the rows of a part, as they lie in its file; XXH3 reads them ten times as fast as SHA-256 does."""

    def __init__(self) -> None:
        import xxhash  # which a model that is served does without

        self._hashes = {name: xxhash.xxh3_128() for name in ROWS}

    def update(self, name: str, rows: np.ndarray | bytes) -> None:
        """Take the next rows of a tensor into account."""
        content = rows if isinstance(rows, bytes) else np.ascontiguousarray(rows).data.cast("B") if rows.size else b""
        self._hashes[name].update(content)

    def hexdigest(self) -> str:
        """64 digits: of the signal, then of the labels."""
        return "".join(digest.hexdigest() for digest in self._hashes.values())


def blocks(begin: int, end: int) -> Iterator[slice]:
    """The rows from one to another, some at a time."""
    for first in range(begin, end, BLOCK_ROWS):
        yield slice(first, min(first + BLOCK_ROWS, end))


def rows_are_intact(path: Path) -> bool:
    """Whether the rows of a part are those that were written; they are read, not mapped, and so take no memory."""
    metadata, entries, start = _read_header(path)
    digest = RowsDigest()
    with path.open("rb", buffering=0) as file:
        for name in ROWS:
            begin, end = entries[name]["data_offsets"]
            file.seek(start + begin)
            for position in range(begin, end, READ_BYTES):
                digest.update(name, file.read(min(READ_BYTES, end - position)))
    return digest.hexdigest() == metadata["rows"]


def digest_of_file(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    """The digest of metadata and tensors; for the rows of a part stands the digest in its metadata."""
    rest = {name: value for name, value in metadata.items() if name != "digest"}
    return digest_json([rest, digest_arrays({name: array for name, array in tensors.items() if name not in ROWS})])


def is_intact(path: Path, digest: str | None = None) -> bool:
    """Whether a file is what was written; KeyError, TypeError or ValueError where it is another one altogether.

    Args:
        digest: that it has to have, where that is known.
    """
    metadata, tensors = map_tensors(path)
    if metadata["digest"] != digest_of_file(metadata, tensors) or digest not in (None, metadata["digest"]):
        return False
    return "signal" not in tensors or rows_are_intact(path)


def part_files(folder: Path) -> list[Path]:
    """The files of the signal's parts, in their order."""
    metadata, _ = map_tensors(folder / SEGMENTS_FILE)
    return [folder / SIGNAL_FOLDER / part["file"] for part in metadata["parts"]]


def refuse_damage(folder: Path) -> None:
    """Read the cache once and compare it with its digests; UserError when it is not what was written."""
    for name in (SPLITS_FILE, SEGMENTS_FILE):
        _refuse_damaged_file(folder, name)
    for part in map_tensors(folder / SEGMENTS_FILE)[0]["parts"]:
        _refuse_damaged_file(folder, f"{SIGNAL_FOLDER}/{part['file']}", part["digest"])


def _refuse_damaged_file(folder: Path, name: str, digest: str | None = None) -> None:
    path = folder / name
    try:
        intact = is_intact(path, digest)
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}; {how_to_mend(folder)}") from None
    except (KeyError, TypeError, ValueError):
        intact = False
    if not intact:
        raise UserError(f"{path}: damaged: it is not what its digest says; {how_to_mend(folder)}")


def how_to_mend(folder: Path) -> str:
    """The end of a message on a damaged cache: DVC's own copy is likely to be the same file."""
    return f"type: trackstack repair {folder} && dvc repro --force tensor_cache"
