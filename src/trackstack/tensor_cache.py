"""Parquet to tensors: the normalised signal once, windows as start indices, groups split without leakage.

The file holds `signal` float32 [T, C], `label` int64 [T], `starts_train|val|test` int64 [W], `mean` and `std` float32
[C], `segment_edges` int64 [S + 1], `segment_groups` int64 [S], and one JSON value of metadata. `trackstack.windows`
opens it. Rows are read and written a row group at a time; what is held in memory are the starts (8 bytes a window)
and the segments.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from trackstack import UserError
from trackstack.catalog import Contract
from trackstack.digest import array_heading, canonical_json, digest_json
from trackstack.outputs import CACHE_FILE, METADATA_KEY, PROFILE_FILE, ROWS_FILE, SEGMENT_COLUMN, SPLITS, new_folder
from trackstack.params import TensorCacheParams
from trackstack.profile import Moments
from trackstack.progress import progress
from trackstack.slicing import normalise, window_starts

SAFETENSORS_TYPES = {"I64": np.dtype("<i8"), "F32": np.dtype("<f4")}


class Segments(NamedTuple):
    """Stretches of rows that a window may lie in: one group, one series, neighbours in one file."""

    edges: np.ndarray
    """int64 [S + 1]: segment i has the rows from edges[i] to edges[i + 1], that one not included."""
    groups: np.ndarray
    """int64 [S]: the number of each segment's group in `names`."""
    names: Sequence
    """The groups, as they are found; where the data has none, the numbers of the folds."""

    def rows_of_groups(self) -> dict:
        """How many rows each group has."""
        counts = np.bincount(self.groups, weights=np.diff(self.edges), minlength=len(self.names))
        return dict(zip(self.names, counts.astype(np.int64).tolist(), strict=True))

    def are_in(self, groups: list) -> np.ndarray:
        """bool [S]: whether a segment's group is one of these."""
        wanted = set(groups)
        return np.array([name in wanted for name in self.names], bool)[self.groups]


class Tensor(NamedTuple):
    """A tensor that is written piece by piece."""

    dtype: str
    shape: tuple[int, ...]
    pieces: Iterable[np.ndarray]


def build(processed: Path, out: Path, params: TensorCacheParams) -> None:
    """Read the Parquet file of `processed` and write the tensor cache into the folder `out`.

    Raises:
        UserError: too few groups for the folds, or a split with groups but without a single window.
    """
    profile = json.loads((processed / PROFILE_FILE).read_text(encoding="utf-8"))
    contract = Contract.model_validate(profile["contract"])
    with pq.ParquetFile(processed / ROWS_FILE) as rows:
        segments = find_segments(rows, contract)
        if contract.group is None:
            segments = deal(segments, np.concatenate(list(_labels(rows, contract))), params.folds)
        split = split_groups(segments.rows_of_groups(), params)
        window, stride = (params.window, params.stride) if contract.series else (1, 1)
        starts = {}
        for name in SPLITS:
            chosen = segments.are_in(split[name])
            starts[name] = window_starts(segments.edges[:-1][chosen], segments.edges[1:][chosen], window, stride)
        _refuse_empty_splits(starts, split, window)
        mean_C, std_C = moments(_training_rows(rows, contract, segments, split["train"]))
        num_rows, channels = rows.metadata.num_rows, len(contract.features)
        tensors = {
            "signal": Tensor("F32", (num_rows, channels), _normalised(rows, contract, mean_C, std_C)),
            "label": Tensor("I64", (num_rows,), _labels(rows, contract)),
            "mean": Tensor("F32", (channels,), [mean_C]),
            "std": Tensor("F32", (channels,), [std_C]),
            "segment_edges": Tensor("I64", segments.edges.shape, [segments.edges]),
            "segment_groups": Tensor("I64", segments.groups.shape, [segments.groups]),
            **{f"starts_{name}": Tensor("I64", starts[name].shape, [starts[name]]) for name in SPLITS},
        }
        metadata = {
            "dataset": profile["dataset"],
            "digests": {"ingest": profile["reads"], "parquet": profile["digest"]},
            "features": [feature.model_dump(mode="json") for feature in contract.features],
            "vectors": _channels_of_vectors(contract),
            "classes": list(contract.classes),
            "group": contract.group,
            "groups": segments.names,
            "series": contract.series,
            "sample_rate_hz": contract.sample_rate_hz,
            "window": window,
            "stride": stride,
            "split": split,
        }
        with new_folder(out) as folder:
            write_tensors(folder / CACHE_FILE, tensors, metadata)


def split_groups(rows_of_groups: dict, params: TensorCacheParams) -> dict[str, list]:
    """The groups of each split: fold `fold` is the test split, the next one validation if any, the rest training.

    Folds hold whole groups and are balanced by rows: the largest group first, each to the fold that has least, as
    scikit-learn's `GroupKFold` does. Over all folds every group is tested once and serves for validation once.
    """
    groups = sorted(rows_of_groups)
    if len(groups) < params.folds:
        raise UserError(
            f"params.yaml: tensor_cache.folds is {params.folds}; expected at most {len(groups)}, "
            "the number of groups in the data"
        )
    folds: list[list] = [[] for _ in range(params.folds)]
    num_rows = np.zeros(params.folds, np.int64)
    for index in np.argsort([rows_of_groups[group] for group in groups], kind="stable")[::-1]:
        fold = int(np.argmin(num_rows))
        folds[fold].append(groups[index])
        num_rows[fold] += rows_of_groups[groups[index]]
    test = sorted(folds[params.fold])
    val = sorted(folds[(params.fold + 1) % params.folds]) if params.validation else []
    held_out = {*test, *val}
    train = [group for group in groups if group not in held_out]
    return {"train": train, "val": val, "test": test}


def find_segments(rows: pq.ParquetFile, contract: Contract) -> Segments:
    """Where group or series change, or rows are no neighbours in their file.

    Without a series a row is a sample of its own, and its neighbours are no matter. Without a group, each
    recording is one, or each row.
    """
    names = [name for name in (contract.group, contract.series, contract.series and SEGMENT_COLUMN) if name]
    if not names:
        num_rows = rows.metadata.num_rows
        return Segments(np.arange(num_rows + 1), np.arange(num_rows), range(num_rows))
    edges, groups, numbers = [], [], {}
    before, first = None, 0
    for table in _row_groups(rows, names):
        changes = np.zeros(len(table), bool)
        for name in names:
            changes[1:] |= pc.not_equal(table[name][1:], table[name][:-1]).to_numpy()
        changes[0] = before != tuple(table[name][0].as_py() for name in names)
        before = tuple(table[name][-1].as_py() for name in names)
        begins = np.flatnonzero(changes)
        codes = pc.take(table[names[0]], pa.array(begins)).combine_chunks().dictionary_encode()
        known = np.array([numbers.setdefault(name, len(numbers)) for name in codes.dictionary.to_pylist()], np.int64)
        groups.append(known[codes.indices.to_numpy()])
        edges.append(begins + first)
        first += len(table)
    return Segments(np.concatenate([*edges, [first]]), np.concatenate(groups), list(numbers))


def deal(segments: Segments, label_T: np.ndarray, folds: int) -> Segments:
    """Put recordings or rows together to as many groups as there are folds: shuffled, then dealt out class by class.

    The shuffle is NumPy's legacy one, whose numbers are promised never to change.
    """
    num_parts = len(segments.names)
    if num_parts < folds:
        what = "recordings" if len(segments.names) < len(label_T) else "rows"
        raise UserError(f"params.yaml: tensor_cache.folds is {folds}; expected at most {num_parts}, the {what}")
    _, first = np.unique(segments.groups, return_index=True)
    shuffled = np.random.RandomState(0).permutation(num_parts)
    by_class = shuffled[np.argsort(label_T[segments.edges[first]][shuffled], kind="stable")]
    fold = np.empty(num_parts, np.int64)
    fold[by_class] = np.arange(num_parts) % folds
    return Segments(segments.edges, fold[segments.groups], list(range(folds)))


def moments(parts: Iterable[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation, float32 [C], of rows [N, C]; a constant column gets 1, to stay as it is.

    Null is NaN, and not counted. Sums run in float64 over contiguous columns: NumPy's order of summation is then the
    same on every machine.
    """
    columns: list[Moments] = []
    for rows_NC in parts:
        columns = columns or [Moments() for _ in range(rows_NC.shape[1])]
        for column, values in zip(columns, np.ascontiguousarray(rows_NC.T), strict=True):
            column.merge(Moments.of(values))
    mean_C = np.array([column.mean for column in columns], np.float64)
    std_C = np.array([column.std() or 1.0 for column in columns], np.float64)
    return mean_C.astype(np.float32), std_C.astype(np.float32)


def write_tensors(path: Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write a safetensors file piece by piece: the same bytes as the library makes of the whole.

    The metadata gets the digest of itself and of the tensors: it is part of what is read, and other class names are
    another cache. The digest has always the same length, so that the header's place is known before it.
    """
    # The layout of https://github.com/huggingface/safetensors: the widest types first, then by name.
    by_place = sorted(tensors, key=lambda name: (-SAFETENSORS_TYPES[tensors[name].dtype].itemsize, name))
    places, entries, end = {}, {}, 0
    for name in by_place:
        dtype, shape, _ = tensors[name]
        places[name] = end
        end += int(np.prod(shape)) * SAFETENSORS_TYPES[dtype].itemsize
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
            digest.update(array_heading(name, SAFETENSORS_TYPES[dtype], shape))
            file.seek(offset + places[name])
            for piece in pieces:
                content = np.ascontiguousarray(piece, SAFETENSORS_TYPES[dtype]).data
                digest.update(content)
                file.write(content)
        file.seek(0)
        file.write(header(digest_json([metadata, digest.hexdigest()])))


def _row_groups(rows: pq.ParquetFile, columns: list[str]) -> Iterator[pa.Table]:
    for number in range(rows.num_row_groups):
        table = rows.read_row_group(number, columns)
        if len(table):  # a block of which every row was rejected
            yield table


def _features(rows: pq.ParquetFile, contract: Contract) -> Iterator[np.ndarray]:
    """Rows float32 [N, C], row group by row group; null is NaN."""
    names = contract.feature_names()
    for table in _row_groups(rows, names):
        yield np.column_stack([table[name].to_numpy() for name in names])


def _training_rows(
    rows: pq.ParquetFile, contract: Contract, segments: Segments, groups: list
) -> Iterator[np.ndarray]:
    is_training, first = segments.are_in(groups), 0
    for rows_NC in _features(rows, contract):
        numbers = np.arange(first, first + len(rows_NC))
        chosen = is_training[np.searchsorted(segments.edges, numbers, side="right") - 1]
        first += len(rows_NC)
        if chosen.any():
            yield rows_NC[chosen]


def _normalised(rows: pq.ParquetFile, contract: Contract, mean_C: np.ndarray, std_C: np.ndarray) -> Iterator:
    num_bytes = rows.metadata.num_rows * len(mean_C) * 4
    done = 0
    with progress("Parquet to tensors", num_bytes) as show:
        for rows_NC in _features(rows, contract):
            signal_NC = normalise(rows_NC, mean_C, std_C)
            yield signal_NC
            done += signal_NC.nbytes
            show(done)


def _labels(rows: pq.ParquetFile, contract: Contract) -> Iterator[np.ndarray]:
    return (table[contract.label].to_numpy() for table in _row_groups(rows, [contract.label]))


def _channels_of_vectors(contract: Contract) -> list[dict]:
    channel = {name: number for number, name in enumerate(contract.feature_names())}
    return [{"axes": [channel[name] for name in vector.axes], "kind": vector.kind} for vector in contract.vectors]


def _refuse_empty_splits(starts: dict[str, np.ndarray], split: dict[str, list], window: int) -> None:
    for name in SPLITS:
        if split[name] and len(starts[name]) == 0:
            raise UserError(
                f"params.yaml: tensor_cache.window is {window}; no recording of the {name} split "
                f"(groups {', '.join(map(str, split[name]))}) is that long"
            )
