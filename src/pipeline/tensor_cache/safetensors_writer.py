"""A safetensors file written piece by piece: the same bytes as the library makes of whole tensors in memory."""

from __future__ import annotations

import json
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np

from pipeline.windows.cache_files import DTYPES, digest_of_file
from trackstack.core.digest import canonical_json
from trackstack.core.files import METADATA_KEY

Shapes = dict[str, tuple[str, tuple[int, ...]]]
"""The type, a key of `DTYPES`, and the shape of each tensor."""


class TensorFile:
    """A file whose tensors are written in any order, some rows at a time.

    Args:
        shapes: of the tensors.
        metadata: as long in JSON as what `finish` will be given, which stands before the tensors.
    """

    def __init__(self, path: Path, shapes: Shapes, metadata: dict[str, Any]):
        # The layout of https://github.com/huggingface/safetensors: by type, then by name.
        rank = list(DTYPES)
        by_place = sorted(shapes, key=lambda name: (-rank.index(shapes[name][0]), name))
        self._shapes, end = shapes, 0
        self._entries: dict[str, dict[str, Any]] = {}
        for name in by_place:
            dtype, shape = shapes[name]
            begin, end = end, end + int(np.prod(shape)) * DTYPES[dtype].itemsize
            self._entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [begin, end]}
        self._header_bytes = len(self._header(metadata))
        self._file = path.open("wb")
        self._file.truncate(self._header_bytes + end)

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: object, trace: TracebackType | None) -> None:
        self._file.close()

    def write(self, name: str, rows: np.ndarray, first: int = 0) -> None:
        """Write rows of a tensor, from row `first` on."""
        dtype, shape = self._shapes[name]
        content = np.ascontiguousarray(rows, DTYPES[dtype])
        row_bytes = int(np.prod(shape[1:])) * DTYPES[dtype].itemsize
        self._file.seek(self._header_bytes + self._entries[name]["data_offsets"][0] + first * row_bytes)
        self._file.write(content.data)

    def finish(self, metadata: dict[str, Any]) -> None:
        """Write the metadata, when all tensors are there."""
        header = self._header(metadata)
        assert len(header) == self._header_bytes, "the tensors begin where the header ends"
        self._file.seek(0)
        self._file.write(header)

    def _header(self, metadata: dict[str, Any]) -> bytes:
        text = {"__metadata__": {METADATA_KEY: canonical_json(metadata)}, **self._entries}
        content = json.dumps(text, separators=(",", ":"), ensure_ascii=False).encode()
        content += b" " * (-len(content) % 8)
        return len(content).to_bytes(8, "little") + content


def write_tensors(path: Path, tensors: dict[str, np.ndarray], metadata: dict[str, Any]) -> str:
    """Write tensors that are in memory, and metadata, which gets the digest of itself and of them; returns that."""
    names = {dtype: name for name, dtype in DTYPES.items()}
    whole = metadata | {"digest": digest_of_file(metadata, tensors)}
    shapes = {name: (names[array.dtype], array.shape) for name, array in tensors.items()}
    with TensorFile(path, shapes, whole) as file:
        for name, array in tensors.items():
            file.write(name, array)
        file.finish(whole)
    return whole["digest"]
