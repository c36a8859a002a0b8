"""Parquet to tensors: the signal as it was measured, and beside it what one split of it into windows needs.

The signal is the same for every fold, window and stride (see `signal.py`). `splits.safetensors` is small:
`mean` and `std` float32 [C] of the training rows, of a regression `target_mean` and `target_std` float32 [K], and one
JSON value of metadata, from which the windows follow; where the data has no group, `segment_folds` says which fold a
segment was dealt to. `windows/dataset.py` opens both.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from pipeline.contract.catalog import Contract
from pipeline.tensor_cache.normalising import mean_and_std
from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.parts import open_rows
from pipeline.tensor_cache.safetensors_writer import write_tensors
from pipeline.tensor_cache.segments import Segments
from pipeline.tensor_cache.signal import SignalPlan
from pipeline.tensor_cache.splits import deal_into_folds, refuse_many_folds, split_groups
from pipeline.windows.encoding import channel_names
from pipeline.windows.layout import SPLITS, SPLITS_FILE
from pipeline.windows.slicing import are_in
from trackstack import UserError
from trackstack.core.files import new_folder
from trackstack.core.previous_output import previous_output

UINT8 = 1 << 8


def build(processed: Path, out: Path, params: Params) -> None:
    """Read the Parquet files of `processed` and write the tensor cache into the folder `out`.

    What DVC's cache has of the previous output is taken from there as far as it is the same.

    Raises:
        UserError: too few groups for the folds, a split with groups but without a single window, or damaged rows.
    """
    profile, contract, parts = open_rows(processed)
    previous = previous_output(out)
    plan = SignalPlan.make(parts, contract, previous)
    if contract.group is None:
        refuse_many_folds(plan.segments, params)
    else:
        _split(plan.segments, contract, params)  # before anything is written
    with new_folder(out) as folder:
        signal = plan.write(previous, folder)
        segments, folds = plan.segments, {}
        if contract.group is None:
            fold_G = deal_into_folds(segments, signal.labels(), params.folds)
            segments = Segments(segments.edges, fold_G[segments.groups], range(params.folds))
            folds = {"segment_folds": segments.groups.astype(np.uint8 if params.folds <= UINT8 else np.int64)}
        split = _split(segments, contract, params)
        is_training = are_in(np.arange(len(segments.names)), segments.names, split["train"])
        mean_X, std_X = mean_and_std(signal.moments(is_training[fold_G] if folds else is_training))
        write_tensors(
            folder / SPLITS_FILE,
            _mean_and_std_tensors(mean_X, std_X, contract) | folds,
            _metadata_of_data(profile, contract)
            | ({"groups": list(segments.names)} if folds else {})
            | {"signal": signal.digest, "split": split}
            | dict(zip(("window", "stride"), _window_and_stride(contract, params), strict=True)),
        )


def _split(segments: Segments, contract: Contract, params: Params) -> dict[str, list]:
    """The groups of each split; UserError when one has groups, but no window."""
    split = split_groups(segments.rows_of_groups(), params)
    window, _ = _window_and_stride(contract, params)
    for name in SPLITS:
        lengths = np.diff(segments.edges)[are_in(segments.groups, segments.names, split[name])]
        if split[name] and not (lengths >= window).any():
            raise UserError(
                f"params.yaml: tensor_cache.window is {window}; no recording of the {name} split "
                f"(groups {', '.join(map(str, split[name]))}) is that long"
            )
    return split


def _window_and_stride(contract: Contract, params: Params) -> tuple[int, int]:
    """In rows; without a series every row is a window."""
    return (params.window, params.stride) if contract.series else (1, 1)


def _mean_and_std_tensors(mean_X: np.ndarray, std_X: np.ndarray, contract: Contract) -> dict[str, np.ndarray]:
    """Those of the channels, and of a regression those of the targets, which stand behind them."""
    channels = len(mean_X) - len(contract.targets)
    tensors = {"mean": mean_X[:channels], "std": std_X[:channels]}
    if contract.targets:
        tensors |= {"target_mean": mean_X[channels:], "target_std": std_X[channels:]}
    return tensors


def _metadata_of_data(profile: dict[str, Any], contract: Contract) -> dict[str, Any]:
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


def _what_is_predicted(contract: Contract) -> dict[str, Any]:
    if contract.task == "classification":
        return {"classes": list(contract.classes)}
    return {"task": contract.task, "targets": [target.model_dump(mode="json") for target in contract.targets]}
