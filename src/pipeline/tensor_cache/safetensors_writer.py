"""A safetensors file written piece by piece: the same bytes as the library makes of whole tensors in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np

from trackstack.core.digest import array_heading, canonical_json, digest_json
from trackstack.core.files import METADATA_KEY

DTYPES: dict[str, np.dtype] = {"I64": np.dtype("<i8"), "F32": np.dtype("<f4")}


class Tensor(NamedTuple):
    """A tensor that is written piece by piece."""

    dtype: str
    """A key of `DTYPES`."""
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]

    @classmethod
    def of(cls, array: np.ndarray) -> Tensor:
        """An array that is in memory: float32, or integers."""
        return cls("F32" if array.dtype == np.float32 else "I64", array.shape, [array])


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write tensors and their metadata.

    The metadata gets the digest of itself and of the tensors: it is part of what is read, and other class names are
    another cache. The digest has always the same length, so that the size of the header is known before it.
    """
    # The layout of https://github.com/huggingface/safetensors: the widest types first, then by name.
    by_place = sorted(tensors, key=lambda name: (-DTYPES[tensors[name].dtype].itemsize, name))
    places, entries, end = {}, {}, 0
    for name in by_place:
        dtype, shape, _ = tensors[name]
        places[name] = end
        end += int(np.prod(shape)) * DTYPES[dtype].itemsize
        entries[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [places[name], end]}

    def header(digest: str) -> bytes:
        text = {"__metadata__": {METADATA_KEY: canonical_json(metadata | {"digest": digest})}, **entries}
        content = json.dumps(text, separators=(",", ":"), ensure_ascii=False).encode()
        content += b" " * (-len(content) % 8)
        return len(content).to_bytes(8, "little") + content

    digest = hashlib.sha256()
    offset = len(header("0" * digest.digest_size * 2))
    with path.open("wb") as file:
        for name in sorted(tensors):
            dtype, shape, pieces = tensors[name]
            digest.update(array_heading(name, DTYPES[dtype], shape))
            file.seek(offset + places[name])
            for piece in pieces:
                content = np.ascontiguousarray(piece, DTYPES[dtype]).data
                digest.update(content)
                file.write(content)
        file.seek(0)
        file.write(header(digest_json([metadata, digest.hexdigest()])))
