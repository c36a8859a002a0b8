"""The signal: all rows as they were measured, in a file for each part, once for every split of them.

`signal/NAME.safetensors` has the rows of `rows/NAME.parquet` (see `signal_part.py`). `segments.safetensors` lists the
parts in their order and joins their segments: `segment_edges` int64 [S + 1], `segment_groups` int64 [S]. A file that
the previous output has of the same part is put in its place, and its Parquet file is not read.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from pipeline.contract.catalog import Contract
from pipeline.tensor_cache.normalising import COUNT, Arrays, moments_of_rows
from pipeline.tensor_cache.parts import Part, refuse_damaged_part
from pipeline.tensor_cache.safetensors_writer import write_tensors
from pipeline.tensor_cache.segments import (
    PartSegments,
    Segments,
    every_row,
    find_segments,
    join_segments,
    key_columns,
)
from pipeline.tensor_cache.signal_part import SignalPart, file_name, find_part, write_part
from pipeline.windows.cache_files import map_tensors
from pipeline.windows.layout import SEGMENTS_FILE, SIGNAL_FOLDER
from trackstack.core.previous_output import PreviousOutput
from trackstack.core.progress import progress


class SignalPlan(NamedTuple):
    """The data, its segments, and which parts of the signal are there already."""

    contract: Contract
    parts: list[Part]
    known: list[SignalPart | None]
    found: list[PartSegments]
    segments: Segments

    @classmethod
    def make(cls, parts: list[Part], contract: Contract, previous: PreviousOutput) -> SignalPlan:
        """Find the segments; of parts that are not known yet the Parquet files are compared with their digests.

        Raises:
            UserError: one of them is damaged.
        """
        known = [find_part(previous, part, contract) for part in parts]
        for part, one in zip(parts, known, strict=True):
            if one is None:
                refuse_damaged_part(part)
        if not key_columns(contract):
            found = [PartSegments(np.zeros(0, np.int64), [], [], [])] * len(parts)
            return cls(contract, parts, known, found, every_row(sum(part.rows for part in parts)))
        pairs = zip(parts, known, strict=True)
        found = [one.segments if one else find_segments(part, contract) for part, one in pairs]
        return cls(contract, parts, known, found, join_segments(parts, found, contract))

    def write(self, previous: PreviousOutput, folder: Path) -> Signal:
        """Write the files of the signal into a folder, or put the previous ones there."""
        (folder / SIGNAL_FOLDER).mkdir()
        paths, done = [folder / file_name(part) for part in self.parts], 0
        sizes = [part.path.stat().st_size for part in self.parts]
        written: list[SignalPart] = []
        with progress("Parquet to tensors", sum(sizes)) as show:
            for number, (part, path) in enumerate(zip(self.parts, paths, strict=True)):
                known = self.known[number]
                if known is None or not previous.take(file_name(part), path):
                    if known is not None:  # it was removed since, and nobody has looked at the Parquet file
                        refuse_damaged_part(part)
                    known = write_part(path, part, self.found[number], self.contract)
                written.append(known)
                done += sizes[number]
                show(done)
        about = {
            "groups": list(self.segments.names) if key_columns(self.contract) else [],
            "parts": [
                {"file": path.name, "rows": part.rows, "missing": part.missing, "digest": part.digest}
                for path, part in zip(paths, written, strict=True)
            ],
        }
        arrays = {"segment_edges": self.segments.edges, "segment_groups": self.segments.groups}
        digest = write_tensors(folder / SEGMENTS_FILE, arrays, about)
        return Signal(paths, written, self.segments, digest)


class Signal(NamedTuple):
    """The signal as it was written."""

    paths: list[Path]
    parts: list[SignalPart]
    segments: Segments
    digest: str
    """Of `segments.safetensors`, which names those of the parts."""

    def labels(self) -> np.ndarray:
        """The labels of all rows: int64 [T], or float32 [T, K]."""
        return np.concatenate([np.array(map_tensors(path)[1]["label"]) for path in self.paths])

    def moments(self, is_training_G: np.ndarray) -> Iterator[Arrays]:
        """The moments of the training rows of each part: of each of its groups, or of all of them.

        Args:
            is_training_G: bool, whether a group of the segments is trained on.
        """
        have_moments = any(len(part.moments[COUNT]) for part in self.parts)
        number_of = {name: number for number, name in enumerate(self.segments.names)} if have_moments else {}
        first = 0
        for path, part in zip(self.paths, self.parts, strict=True):
            if len(part.moments[COUNT]):
                chosen_G = is_training_G[[number_of[name] for name in part.names]]
                yield {name: array[chosen_G] for name, array in part.moments.items()}
            else:
                begins, groups = self.segments.between(first, first + part.rows)
                chosen_N = np.repeat(is_training_G[groups], np.diff(begins, append=part.rows))
                yield moments_of_rows(map_tensors(path)[1], chosen_N)
            first += part.rows
