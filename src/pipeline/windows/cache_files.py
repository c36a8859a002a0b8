"""The files of the tensor cache without torch: mapped as arrays, and compared with their digests.

The digest of a file is part of its metadata, and covers the metadata too. Of the signal's rows, gigabytes, each part
of the data has a digest of its own, so that a part that is copied from one file to the next keeps it.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.windows.layout import SIGNAL_FILE, SPLITS_FILE
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
ROWS = ("signal", "label")
"""The tensors of the signal file that have a row for each row of the data."""


def map_tensors(path: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The metadata of a file, and its tensors, mapped read-only; ValueError or KeyError for another file."""
    with path.open("rb") as file:
        num_bytes = int.from_bytes(file.read(8), "little")
        if num_bytes + 8 > path.stat().st_size:
            raise ValueError("it is cut short")
        header = json.loads(file.read(num_bytes))
    metadata = json.loads(header.pop("__metadata__")[METADATA_KEY])
    content = np.memmap(path, np.uint8, mode="r", offset=0)[8 + num_bytes :]
    tensors = {}
    for name, entry in header.items():
        begin, end = entry["data_offsets"]
        tensors[name] = content[begin:end].view(DTYPES[entry["dtype"]]).reshape(entry["shape"])
    return metadata, tensors


class RowsDigest:
    """Of the rows of one part, as they lie in the signal file; XXH3 reads them ten times as fast as SHA-256 does."""

    def __init__(self) -> None:
        import xxhash  # which a model that is served does without

        self._hashes = [xxhash.xxh3_128(), xxhash.xxh3_128()]

    def update(self, signal_NC: np.ndarray, label_N: np.ndarray) -> None:
        """Take the next rows into account."""
        for digest, rows in zip(self._hashes, (signal_NC, label_N), strict=True):
            digest.update(np.ascontiguousarray(rows).data.cast("B") if rows.size else b"")

    def hexdigest(self) -> str:
        """64 digits: of the signal, then of the labels."""
        return "".join(digest.hexdigest() for digest in self._hashes)


def blocks(begin: int, end: int) -> Iterator[slice]:
    """The rows from one to another, some at a time."""
    for first in range(begin, end, BLOCK_ROWS):
        yield slice(first, min(first + BLOCK_ROWS, end))


def digest_of_rows(tensors: dict[str, np.ndarray], begin: int, end: int) -> str:
    """The digest of the rows of a part."""
    digest = RowsDigest()
    for rows in blocks(begin, end):
        digest.update(*(tensors[name][rows] for name in ROWS))
    return digest.hexdigest()


def digest_of_file(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> str:
    """The digest of metadata and tensors; for the rows of a signal stand the digests in its metadata."""
    rest = {name: value for name, value in metadata.items() if name != "digest"}
    return digest_json([rest, digest_arrays({name: array for name, array in tensors.items() if name not in ROWS})])


def rows_are_intact(metadata: dict[str, Any], tensors: dict[str, np.ndarray]) -> bool:
    """Whether the rows of every part of a signal are those that were written."""
    first = 0
    for part in metadata["parts"]:
        if digest_of_rows(tensors, first, first + part["rows"]) != part["digest"]:
            return False
        first += part["rows"]
    return first == len(tensors["signal"]) == len(tensors["label"])


def refuse_damage(folder: Path) -> None:
    """Read the cache once and compare it with its digests; UserError when it is not what was written."""
    for name in (SPLITS_FILE, SIGNAL_FILE):
        try:
            metadata, tensors = map_tensors(folder / name)
            intact = metadata["digest"] == digest_of_file(metadata, tensors)
            intact = intact and (name == SPLITS_FILE or rows_are_intact(metadata, tensors))
        except OSError as error:
            raise UserError(f"{folder / name}: cannot be read: {error.strerror}; {how_to_mend(folder)}") from None
        except (KeyError, TypeError, ValueError):
            intact = False
        if not intact:
            raise UserError(f"{folder / name}: damaged: it is not what its digest says; {how_to_mend(folder)}")


def how_to_mend(folder: Path) -> str:
    """The end of a message on a damaged cache: DVC's own copy is likely to be the same file."""
    return f"type: trackstack repair {folder} && dvc repro --force tensor_cache"
