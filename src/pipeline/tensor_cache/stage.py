"""Parquet to tensors: the normalised signal once, windows as start indices, groups split without leakage.

The file holds `signal` float32 [T, C], `label` int64 [T], `starts_train|val|test` int64 [W], `mean` and `std` float32
[C], `segment_edges` int64 [S + 1], `segment_groups` int64 [S], and one JSON value of metadata; `windows/dataset.py`
opens it. Of a regression `label` is float32 [T, K], in the columns' own units, and `target_mean` and `target_std`
float32 [K] are those of the training rows. Rows are read and written a row group at a time; only the starts (8 bytes
a window) and the segments are held in memory.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.contract.catalog import Contract
from pipeline.contract.layout import PROFILE_FILE, ROWS_FILE
from pipeline.contract.moments import Moments
from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.safetensors_writer import Tensor, write_tensors
from pipeline.tensor_cache.splits import Segments, deal_into_folds, find_segments, row_groups, split_groups
from pipeline.windows.encoding import channel_names, encode
from pipeline.windows.layout import CACHE_FILE, SPLITS
from pipeline.windows.slicing import normalise, window_starts
from trackstack import UserError
from trackstack.core.digest import digest_file
from trackstack.core.files import new_folder, read_json
from trackstack.core.progress import progress


def build(processed: Path, out: Path, params: Params) -> None:
    """Read the Parquet file of `processed` and write the tensor cache into the folder `out`.

    Raises:
        UserError: too few groups for the folds, a split with groups but without a single window, or damaged rows.
    """
    profile, contract = _open(processed)
    with pq.ParquetFile(processed / ROWS_FILE) as rows:
        segments = find_segments(rows, contract)
        if contract.group is None:
            segments = deal_into_folds(segments, np.concatenate(list(_labels(rows, contract))), params.folds)
        split = split_groups(segments.rows_of_groups(), params)
        window, stride = (params.window, params.stride) if contract.series else (1, 1)
        starts = {}
        for name in SPLITS:
            chosen = segments.are_in(split[name])
            starts[name] = window_starts(segments.edges[:-1][chosen], segments.edges[1:][chosen], window, stride)
        _refuse_empty_splits(starts, split, window)
        mean_C, std_C = moments(_training_rows(_features(rows, contract), segments, split["train"]))
        num_rows, channels = rows.metadata.num_rows, len(mean_C)
        tensors = {
            "signal": Tensor("F32", (num_rows, channels), _normalised(rows, contract, mean_C, std_C)),
            "label": Tensor("I64", (num_rows,), _labels(rows, contract)),
            **_targets(rows, contract, segments, split["train"]),
            "mean": Tensor.of(mean_C),
            "std": Tensor.of(std_C),
            "segment_edges": Tensor.of(segments.edges),
            "segment_groups": Tensor.of(segments.groups),
            **{f"starts_{name}": Tensor.of(starts[name]) for name in SPLITS},
        }
        split_metadata = {"groups": segments.names, "window": window, "stride": stride, "split": split}
        with new_folder(out) as folder:
            write_tensors(folder / CACHE_FILE, tensors, _metadata_of_data(profile, contract) | split_metadata)


def _open(processed: Path) -> tuple[dict, Contract]:
    """The profile of the rows, and their contract; UserError when they are not what `parquet` wrote."""
    todo = f"type: trackstack repair {processed} && dvc repro --force parquet"
    try:
        profile = read_json(processed / PROFILE_FILE, todo)
        digest, contract = profile["digest"], Contract.model_validate(profile["contract"])
        actual = digest_file(processed / ROWS_FILE)
    except FileNotFoundError as error:
        raise UserError(f"{error.filename}: no such file; {todo}") from None
    except OSError as error:
        raise UserError(f"{error.filename}: cannot be read: {error.strerror}; {todo}") from None
    except (KeyError, ValueError) as error:
        reason = str(error).partition("\n")[0]
        raise UserError(f"{processed / PROFILE_FILE}: damaged ({reason}); {todo}") from None
    if actual != digest:
        raise UserError(f"{processed / ROWS_FILE}: damaged: it is not what {PROFILE_FILE} says; {todo}")
    return profile, contract


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


def _targets(rows: pq.ParquetFile, contract: Contract, segments: Segments, groups: list) -> dict[str, Tensor]:
    """What a regression has in the place of, and beside, the numbers of classes."""
    if contract.task == "classification":
        return {}
    mean_K, std_K = moments(_training_rows(_labels(rows, contract), segments, groups))
    shape = (rows.metadata.num_rows, len(contract.targets))
    return {
        "label": Tensor("F32", shape, _labels(rows, contract)),
        "target_mean": Tensor.of(mean_K),
        "target_std": Tensor.of(std_K),
    }


def _features(rows: pq.ParquetFile, contract: Contract) -> Iterator[np.ndarray]:
    """Rows float32 [N, C], row group by row group; null is NaN."""
    features = [feature.model_dump(mode="json") for feature in contract.features]
    for table in row_groups(rows, contract.feature_names()):
        columns = {name: table[name] for name in contract.feature_names()}
        columns |= {one.name: table[one.name].cast(pa.string()) for one in contract.categories()}
        yield encode({name: column.to_numpy() for name, column in columns.items()}, features)


def _numbers(rows: pq.ParquetFile, names: list[str]) -> Iterator[np.ndarray]:
    for table in row_groups(rows, names):
        yield np.column_stack([table[name].to_numpy() for name in names])


def _training_rows(parts: Iterator[np.ndarray], segments: Segments, groups: list) -> Iterator[np.ndarray]:
    is_training, first = segments.are_in(groups), 0
    for rows_NC in parts:
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
    """Numbers of classes int16 [N], or amounts float32 [N, K], row group by row group."""
    if contract.label is None:
        return _numbers(rows, contract.target_names())
    return (table[contract.label].to_numpy() for table in row_groups(rows, [contract.label]))


def _metadata_of_data(profile: dict, contract: Contract) -> dict:
    features = [feature.model_dump(mode="json") for feature in contract.features]
    channel = {name: number for number, name in enumerate(channel_names(features))}
    return {
        "dataset": profile["dataset"],
        "digests": {"ingest": profile["reads"], "parquet": profile["digest"]},
        "features": features,
        "vectors": [
            {"axes": [channel[name] for name in vector.axes], "kind": vector.kind} for vector in contract.vectors
        ],
        **_what_is_predicted(contract),
        "group": contract.group,
        "series": contract.series,
        "sample_rate_hz": contract.sample_rate_hz,
    }


def _what_is_predicted(contract: Contract) -> dict:
    if contract.task == "classification":
        return {"classes": list(contract.classes)}
    return {"task": contract.task, "targets": [target.model_dump(mode="json") for target in contract.targets]}


def _refuse_empty_splits(starts: dict[str, np.ndarray], split: dict[str, list], window: int) -> None:
    for name in SPLITS:
        if split[name] and len(starts[name]) == 0:
            raise UserError(
                f"params.yaml: tensor_cache.window is {window}; no recording of the {name} split "
                f"(groups {', '.join(map(str, split[name]))}) is that long"
            )
