"""The file of one part of the signal: the rows of a Parquet file as tensors, and what is known of them.

It holds `signal` float32 [N, C] with NaN for what is missing; `label` int64 [N] (of a regression float32 [N, K], in
the columns' own units); `segment_begins` and `segment_groups` int64 [S]; and `moments_*` [G, X] of its groups. It
depends on that Parquet file and on nothing else, and is written a row group at a time.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from pipeline.contract.catalog import Contract
from pipeline.tensor_cache.normalising import NAMES, Arrays, GroupMoments, columns_of
from pipeline.tensor_cache.parts import Part, decode
from pipeline.tensor_cache.safetensors_writer import Shapes, TensorFile
from pipeline.tensor_cache.segments import PartSegments, Segments
from pipeline.windows.cache_files import RowsDigest, digest_of_file, is_intact, map_tensors
from pipeline.windows.encoding import channel_names
from pipeline.windows.layout import SIGNAL_FOLDER
from trackstack.core.previous_output import PreviousOutput

NO_DIGEST = "0" * 64


class SignalPart(NamedTuple):
    """What the file of a part says of its rows."""

    digest: str
    rows: int
    missing: int
    """1 where a value of the signal is missing, else 0."""
    segments: PartSegments
    names: list
    """The groups, in the order of the rows."""
    moments: Arrays
    """See `GroupMoments`; of no group where they are too many."""

    @classmethod
    def read(cls, path: Path) -> SignalPart:
        """Of a file that is whole."""
        metadata, tensors = map_tensors(path)
        names = metadata["groups"]
        groups = [names[number] for number in tensors["segment_groups"].tolist()]
        begins = np.array(tensors["segment_begins"])  # copied, so that no file stays mapped
        segments = PartSegments(begins, groups, metadata["first"], metadata["last"])
        moments = {name: np.array(tensors[name]) for name in NAMES}
        return cls(metadata["digest"], len(tensors["signal"]), metadata["missing"], segments, names, moments)


def file_name(part: Part) -> str:
    """Of a part's file, in the output of the stage."""
    return f"{SIGNAL_FOLDER}/{part.path.stem}.safetensors"


def reads(part: Part, contract: Contract) -> dict[str, Any]:
    """What decides over the bytes of a part's file."""
    return {
        "source": part.digest,
        "features": [feature.model_dump(mode="json") for feature in contract.features],
        "label": contract.label,
        "targets": contract.target_names(),
        "group": contract.group,
        "series": contract.series,
    }


def find_part(previous: PreviousOutput, part: Part, contract: Contract) -> SignalPart | None:
    """The previous file of a part, when it was made from the same; None where there is none, or it is damaged."""
    name = file_name(part)
    path = previous.find(name)
    if path is None:
        return None
    try:
        metadata, _ = map_tensors(path)
        if metadata["reads"] != reads(part, contract):
            return None
        if is_intact(path):
            return SignalPart.read(path)
    except (OSError, KeyError, TypeError, ValueError):
        pass
    previous.remove_damaged(name)
    return None


def write_part(path: Path, part: Part, segments: PartSegments, contract: Contract) -> SignalPart:
    """Write the file of a part."""
    names = list(dict.fromkeys(segments.groups))
    numbers = {name: number for number, name in enumerate(names)}
    group_S = np.array([numbers[name] for name in segments.groups], np.int64)
    stretches = Segments(np.append(segments.begins, part.rows), group_S, names)
    channels = len(channel_names([feature.model_dump(mode="json") for feature in contract.features]))
    targets = len(contract.target_names())
    moments = GroupMoments.of_part(len(names), part.rows, channels + targets)
    small = {"segment_begins": segments.begins, "segment_groups": group_S}
    shapes: Shapes = {name: (_type(array), array.shape) for name, array in (small | moments.arrays()).items()}
    shapes["signal"] = ("F32", (part.rows, channels))
    shapes["label"] = ("F32", (part.rows, targets)) if targets else ("I64", (part.rows,))
    metadata: dict[str, Any] = {"reads": reads(part, contract), "groups": names, "missing": 0}
    metadata |= {"first": segments.first, "last": segments.last, "rows": NO_DIGEST, "digest": NO_DIGEST}
    with TensorFile(path, shapes, metadata) as file:
        digest, first = RowsDigest(), 0
        for signal_NC, label_N in decode(part, contract):
            for name, rows in (("signal", signal_NC), ("label", label_N)):
                file.write(name, rows, first)
                digest.update(name, rows)
            metadata["missing"] |= int(np.isnan(signal_NC).any())
            end = first + len(signal_NC)
            if moments:
                begins, groups = stretches.between(first, end)
                moments.add(np.repeat(groups, np.diff(begins, append=end - first)), columns_of(signal_NC, label_N))
            first = end
        small |= moments.arrays()
        for name, array in small.items():
            file.write(name, array)
        metadata["rows"] = digest.hexdigest()
        metadata["digest"] = digest_of_file(metadata, small)
        file.finish(metadata)
    return SignalPart(metadata["digest"], part.rows, metadata["missing"], segments, names, moments.arrays())


def _type(array: np.ndarray) -> str:
    return "F64" if array.dtype == np.float64 else "I64"
