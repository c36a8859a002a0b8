"""Parquet to tensors: the normalised signal once, windows as start indices, groups split without leakage.

The file holds `signal` float32 [T, C], `label` int64 [T], `starts_train|val|test` int64 [W], `mean` and `std`
float32 [C], and one JSON value of metadata. `trackstack.windows` opens it.
"""

from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import save
from sklearn.model_selection import GroupKFold

from trackstack import UserError
from trackstack.catalog import Contract
from trackstack.digest import canonical_json, digest_arrays, digest_json
from trackstack.outputs import CACHE_FILE, METADATA_KEY, PROFILE_FILE, ROWS_FILE, SEGMENT_COLUMN, SPLITS, new_folder
from trackstack.params import TensorCacheParams


def build(processed: Path, out: Path, params: TensorCacheParams) -> None:
    """Read the Parquet file of `processed` and write the tensor cache into the folder `out`.

    Raises:
        UserError: too few groups for the folds, or a split without a single window.
    """
    profile = json.loads((processed / PROFILE_FILE).read_text(encoding="utf-8"))
    contract = Contract.model_validate(profile["contract"])
    table = pq.read_table(processed / ROWS_FILE)
    raw_TC = np.column_stack([table[name].to_numpy() for name in contract.feature_names()])
    label_T = table[contract.label].to_numpy().astype(np.int64)
    group_T = table[contract.group].to_numpy()
    series_T = table[contract.series].to_numpy() if contract.series else None

    split = split_groups(group_T, params)
    window, stride = (params.window, params.stride) if contract.series else (1, 1)
    bounds = segment_bounds(group_T, series_T, table[SEGMENT_COLUMN].to_numpy())
    starts = {
        name: window_starts([(a, b) for a, b in bounds if group_T[a] in split[name]], window, stride)
        for name in SPLITS
    }
    _refuse_empty_splits(starts, split, window)
    mean_C, std_C = moments(raw_TC[np.isin(group_T, split["train"])])
    tensors = {
        "signal": (raw_TC - mean_C) / std_C,
        "label": label_T,
        "mean": mean_C,
        "std": std_C,
        **{f"starts_{name}": starts[name] for name in SPLITS},
    }
    metadata = {
        "dataset": profile["dataset"],
        "digests": {"ingest": profile["reads"], "parquet": profile["digest"]},
        "features": [feature.model_dump() for feature in contract.features],
        "vectors": _channels_of_vectors(contract),
        "classes": list(contract.classes),
        "sample_rate_hz": contract.sample_rate_hz,
        "window": window,
        "stride": stride,
        "split": split,
    }
    # The metadata is part of what is read: other class names are another cache.
    metadata["digest"] = digest_json([metadata, digest_arrays(tensors)])
    with new_folder(out) as folder:
        # Not save_file: it makes a file that only its owner may read, which a shared DVC cache could not use.
        (folder / CACHE_FILE).write_bytes(save(tensors, {METADATA_KEY: canonical_json(metadata)}))


def split_groups(group_T: np.ndarray, params: TensorCacheParams) -> dict[str, list]:
    """The groups of each split: fold `fold` is the test split, the next one validation, the rest training.

    Folds hold whole groups and are balanced by rows (scikit-learn's `GroupKFold`). Over all folds every group
    is tested once and serves for validation once.
    """
    groups = np.unique(group_T)
    if len(groups) < params.folds:
        raise UserError(
            f"params.yaml: tensor_cache.folds is {params.folds}; expected at most {len(groups)}, "
            "the number of groups in the data"
        )
    parts = [test for _, test in GroupKFold(params.folds).split(group_T, groups=group_T)]
    folds = [np.unique(group_T[rows]).tolist() for rows in parts]
    test, val = folds[params.fold], folds[(params.fold + 1) % params.folds]
    train = [group for group in groups.tolist() if group not in test and group not in val]
    return {"train": train, "val": val, "test": test}


def segment_bounds(group_T: np.ndarray, series_T: np.ndarray | None, segment_T: np.ndarray) -> list[tuple[int, int]]:
    """Half-open row ranges that a window may lie in: one group, one series, neighbours in one file.

    Without a series a row is a sample of its own, and its neighbours are no matter.
    """
    change = group_T[1:] != group_T[:-1]
    if series_T is not None:
        change |= (series_T[1:] != series_T[:-1]) | (segment_T[1:] != segment_T[:-1])
    edges = [0, *(np.flatnonzero(change) + 1).tolist(), len(group_T)]
    return list(pairwise(edges))


def window_starts(bounds: list[tuple[int, int]], window: int, stride: int) -> np.ndarray:
    """First rows of all windows that fit into the ranges; a range shorter than a window has none."""
    starts = [np.arange(a, b - window + 1, stride, dtype=np.int64) for a, b in bounds]
    return np.concatenate(starts) if starts else np.empty(0, np.int64)


def moments(rows_TC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and standard deviation of each column, float32; a constant column gets 1, to stay as it is.

    Sums run in float64 over contiguous columns: NumPy's order of summation is then the same on every machine.
    """
    columns_CT = np.ascontiguousarray(rows_TC.T, dtype=np.float64)
    mean_C = columns_CT.mean(axis=1)
    std_C = np.sqrt(np.square(columns_CT - mean_C[:, None]).mean(axis=1))
    std_C[std_C == 0] = 1
    return mean_C.astype(np.float32), std_C.astype(np.float32)


def _channels_of_vectors(contract: Contract) -> list[dict]:
    channel = {name: number for number, name in enumerate(contract.feature_names())}
    return [{"axes": [channel[name] for name in vector.axes], "kind": vector.kind} for vector in contract.vectors]


def _refuse_empty_splits(starts: dict[str, np.ndarray], split: dict[str, list], window: int) -> None:
    for name in SPLITS:
        if len(starts[name]) == 0:
            raise UserError(
                f"params.yaml: tensor_cache.window is {window}; no recording of the {name} split "
                f"(groups {', '.join(map(str, split[name]))}) is that long"
            )
