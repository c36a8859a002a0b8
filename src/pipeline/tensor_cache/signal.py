"""The signal file: all rows as they were measured, once for every split of them.

It holds `signal` float32 [T, C] with NaN for what is missing, `label` int64 [T] (of a regression float32 [T, K], in
the columns' own units), `segment_edges` int64 [S + 1], `segment_groups` int64 [S], and `moments_*` of each group in
each part. It is written a row group at a time. What the previous file has of a part is copied, not decoded again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.contract.catalog import Contract
from pipeline.tensor_cache.known_signal import KnownSignal
from pipeline.tensor_cache.normalising import GroupMoments, columns_of, groups_of_parts
from pipeline.tensor_cache.parts import Part, decode, refuse_damaged_part
from pipeline.tensor_cache.safetensors_writer import Shapes, TensorFile
from pipeline.tensor_cache.segments import (
    PartSegments,
    Segments,
    every_row,
    find_segments,
    join_segments,
    key_columns,
)
from pipeline.windows.cache_files import RowsDigest, digest_of_file
from pipeline.windows.encoding import channel_names
from pipeline.windows.layout import SIGNAL_FILE
from trackstack.core.previous_output import PreviousOutput
from trackstack.core.progress import progress

NO_DIGEST = "0" * 64


class SignalPlan(NamedTuple):
    """The data, its segments, and what is known of it already."""

    contract: Contract
    parts: list[Part]
    found: list[PartSegments]
    segments: Segments
    known: KnownSignal | None

    @classmethod
    def make(cls, parts: list[Part], contract: Contract, previous: PreviousOutput) -> SignalPlan:
        """Find the segments; of parts that are not known yet the Parquet files are compared with their digests.

        Raises:
            UserError: one of them is damaged.
        """
        known = KnownSignal.open(previous, reads(contract))
        for part in parts:
            if known is None or not known.has(part):
                refuse_damaged_part(part)
        if not key_columns(contract):
            rows = sum(part.rows for part in parts)
            found = [PartSegments(np.zeros(0, np.int64), [], [], [])] * len(parts)
            return cls(contract, parts, found, every_row(rows), known)
        found = [(known and known.segments_of(part)) or find_segments(part, contract) for part in parts]
        return cls(contract, parts, found, join_segments(parts, found, contract), known)

    def write(self, previous: PreviousOutput, target: Path) -> None:
        """Write the signal file, or take the previous one where it is the same."""
        known, sources = self.known, [part.digest for part in self.parts]
        if known and known.sources() == sources and known.is_intact() and previous.take(SIGNAL_FILE, target):
            return
        rows = [part.rows for part in self.parts]
        channels, targets = len(_channels(self.contract)), len(self.contract.target_names())
        moments = GroupMoments(groups_of_parts(self.segments, rows), channels + targets)
        shapes: Shapes = {"signal": ("F32", (sum(rows), channels))}
        shapes["label"] = ("F32", (sum(rows), targets)) if targets else ("I64", (sum(rows),))
        small = {"segment_edges": self.segments.edges, "segment_groups": self.segments.groups}
        shapes |= {name: ("I64", array.shape) for name, array in small.items()}
        shapes |= {name: (_type(array), array.shape) for name, array in moments.arrays.items()}
        metadata = self._metadata()
        with (
            TensorFile(target, shapes, metadata | {"digest": NO_DIGEST}) as file,
            progress("Parquet to tensors", sum(rows) * 4 * channels) as show,
        ):
            first = 0
            for number, (part, about) in enumerate(zip(self.parts, metadata["parts"], strict=True)):
                about |= self._write_part(file, number, first, moments)
                first += part.rows
                show(first * 4 * channels)
            small |= moments.arrays
            for name, array in small.items():
                file.write(name, array)
            file.finish(metadata | {"digest": digest_of_file(metadata, small)})

    def _metadata(self) -> dict[str, Any]:
        """Of the file, with a digest of each part that is as long as what will take its place."""
        names = self.segments.names
        return {
            "reads": reads(self.contract),
            "groups": list(names) if key_columns(self.contract) else [],
            "parts": [
                {
                    "rows": part.rows,
                    "source": part.digest,
                    "first": found.first,
                    "last": found.last,
                    "missing": 0,
                    "digest": NO_DIGEST,
                }
                for part, found in zip(self.parts, self.found, strict=True)
            ],
        }

    def _write_part(self, file: TensorFile, number: int, first: int, moments: GroupMoments) -> dict[str, Any]:
        """Copy or decode a part; returns what its metadata says of its rows."""
        part, known = self.parts[number], self.known
        if known and known.has(part):
            wanted = None if known.copy_moments(part, number, moments) else moments
            written = self._write_rows(file, known.rows(part), number, first, wanted)
            if written["digest"] == known.about(part)["digest"]:
                return written
            known.forget(part)
            moments.clear(number)
            refuse_damaged_part(part)
        return self._write_rows(file, decode(part, self.contract), number, first, moments)

    def _write_rows(
        self,
        file: TensorFile,
        rows: Iterator[tuple[np.ndarray, np.ndarray]],
        number: int,
        first: int,
        moments: GroupMoments | None,
    ) -> dict[str, Any]:
        digest, missing = RowsDigest(), False
        for signal_NC, label_N in rows:
            file.write("signal", signal_NC, first)
            file.write("label", label_N, first)
            digest.update(signal_NC, label_N)
            missing = missing or bool(np.isnan(signal_NC).any())
            if moments:
                self._add_moments(moments, number, first, columns_of(signal_NC, label_N))
            first += len(signal_NC)
        return {"missing": int(missing), "digest": digest.hexdigest()}

    def _add_moments(self, moments: GroupMoments, number: int, first: int, rows_NX: np.ndarray) -> None:
        begins, group_S = self.segments.between(first, first + len(rows_NX))
        group_N = np.repeat(group_S, np.diff(begins, append=len(rows_NX)))
        for group in np.unique(group_S).tolist():
            moments.add(number, group, rows_NX[group_N == group])


def reads(contract: Contract) -> dict[str, Any]:
    """What decides how the rows of a Parquet file become those of a signal file."""
    return {
        "features": [feature.model_dump(mode="json") for feature in contract.features],
        "label": contract.label,
        "targets": contract.target_names(),
        "group": contract.group,
        "series": contract.series,
    }


def _channels(contract: Contract) -> list[str]:
    return channel_names([feature.model_dump(mode="json") for feature in contract.features])


def _type(array: np.ndarray) -> str:
    return "F64" if array.dtype == np.float64 else "I64"
