"""The signal file of the previous output: what it has of a part need not be decoded again."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from pipeline.tensor_cache.normalising import GroupMoments
from pipeline.tensor_cache.parts import Part
from pipeline.tensor_cache.segments import PartSegments, Segments
from pipeline.windows.cache_files import blocks, digest_of_file, map_tensors, rows_are_intact
from pipeline.windows.layout import SIGNAL_FILE
from trackstack.core.previous_output import PreviousOutput


class KnownSignal:
    """A signal file in DVC's cache, with whole metadata and segments; its rows are compared when they are read."""

    def __init__(self, previous: PreviousOutput, metadata: dict[str, Any], tensors: dict[str, np.ndarray]):
        self._previous, self._metadata, self._tensors = previous, metadata, tensors
        self._segments = Segments(tensors["segment_edges"], tensors["segment_groups"], metadata["groups"])
        self._places: dict[str, tuple[int, int]] = {}
        first = 0
        for number, part in enumerate(metadata["parts"]):
            self._places[part["source"]] = number, first
            first += part["rows"]

    @classmethod
    def open(cls, previous: PreviousOutput, reads: dict[str, Any]) -> KnownSignal | None:
        """The previous file, when it was read in the same way; None where there is none, or it is damaged."""
        path = previous.find(SIGNAL_FILE)
        if path is None:
            return None
        try:
            metadata, tensors = map_tensors(path)
            if metadata["digest"] == digest_of_file(metadata, tensors):
                return cls(previous, metadata, tensors) if metadata["reads"] == reads else None
        except (OSError, KeyError, TypeError, ValueError):
            pass
        previous.remove_damaged(SIGNAL_FILE)
        return None

    def sources(self) -> list[str]:
        """The digests of the parts that it was made of, in their order."""
        return [part["source"] for part in self._metadata["parts"]]

    def is_intact(self) -> bool:
        """Whether all rows are those that were written."""
        return rows_are_intact(self._metadata, self._tensors)

    def has(self, part: Part) -> bool:
        """Whether the rows of a part are there."""
        return part.digest in self._places

    def forget(self, part: Part) -> None:
        """Say that the rows of a part are damaged."""
        self._previous.remove_damaged(SIGNAL_FILE)
        del self._places[part.digest]

    def about(self, part: Part) -> dict[str, Any]:
        """What the metadata says of a part."""
        return self._metadata["parts"][self._places[part.digest][0]]

    def segments_of(self, part: Part) -> PartSegments | None:
        """The segments of a part; None where it is not there."""
        if not self.has(part):
            return None
        first, about = self._places[part.digest][1], self.about(part)
        begins, groups = self._segments.between(first, first + part.rows)
        names = [self._segments.names[group] for group in groups.tolist()]
        return PartSegments(begins, names, about["first"], about["last"])

    def rows(self, part: Part) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """The rows of a part, some at a time: as `decode` gives them."""
        first = self._places[part.digest][1]
        for rows in blocks(first, first + part.rows):
            yield self._tensors["signal"][rows], self._tensors["label"][rows]

    def copy_moments(self, part: Part, number: int, moments: GroupMoments) -> bool:
        """Take the moments of a part's groups; False where they must be found again."""
        return moments.copy(number, self._tensors, self._places[part.digest][0])
