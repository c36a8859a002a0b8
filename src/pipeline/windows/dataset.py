"""Windows of the tensor cache, gathered by one `index_select` on an overlapping view of the signal.

Where the signal is larger than memory should hold and lies in several files, each window is copied from its file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from pipeline.windows.cache_files import how_to_mend
from pipeline.windows.layout import SEGMENTS_FILE, SIGNAL_FOLDER, SPLITS, SPLITS_FILE
from pipeline.windows.parted_rows import PartedRows, join_rows
from pipeline.windows.slicing import are_in, window_starts
from trackstack import UserError
from trackstack.core.files import METADATA_KEY

SMALL_BYTES = 1 << 30
"""A signal up to this size is normalised once; each process that reads windows then holds as much again."""


@dataclass(frozen=True)
class TensorCache:
    """An open tensor cache; the tensors are mapped from its files and read when they are touched."""

    signal: Tensor | PartedRows
    """float32 [T, C], as it was measured; NaN where a value is missing."""
    label: Tensor | PartedRows
    """int64 [T], the number of a class; of a regression float32 [T, K], the amounts in their own units."""
    starts: Mapping[str, Tensor]
    """Per split: int64 [W], first rows of its windows."""
    mean: Tensor
    """float32 [C], of the training rows: a window is gathered in standard deviations from it."""
    std: Tensor
    """float32 [C]."""
    metadata: dict[str, Any]
    """dataset, features, vectors, classes (of a regression task and targets), group, groups, series, window, stride,
    split, sample_rate_hz, missing (whether a value of the signal is), digest, and digests of its sources."""
    segment_edges: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))
    """int64 [S + 1]: segment i, neighbours of one group and series, has the rows from edges[i] up to edges[i + 1]."""
    segment_groups: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """Integers [S]: the number of a segment's group in the metadata's `groups`."""
    target_mean: Tensor = field(default_factory=lambda: torch.zeros(0))
    """float32 [K], of the training rows' amounts; none of a classification."""
    target_std: Tensor = field(default_factory=lambda: torch.zeros(0))
    """float32 [K]."""

    @property
    def task(self) -> str:
        """classification or regression."""
        return self.metadata.get("task", "classification")

    @cached_property
    def standard_signal(self) -> Tensor:
        """The signal in standard deviations from the training rows' mean, with what is missing as the mean.

        It is made when it is first asked for, and kept in memory, on the signal's device.
        """
        rows = self.signal.to(self.mean.device)
        standard = (rows - self.mean if rows is self.signal else rows.sub_(self.mean)).div_(self.std)
        return standard.nan_to_num_() if self.may_lack_values else standard

    @property
    def may_lack_values(self) -> bool:
        """Whether a value of the signal may be missing."""
        return self.metadata.get("missing", True)

    def with_standard_targets(self) -> TensorCache:
        """The same cache with amounts in standard deviations from the training rows' mean; itself without amounts."""
        if self.task == "classification":
            return self
        return replace(self, label=(self.label.to(self.mean.device) - self.target_mean) / self.target_std)

    def to(self, device: torch.device) -> TensorCache:
        """The same cache with its tensors on a device; itself where they are there already."""
        if self.signal.device == device:
            return self
        return replace(
            self,
            signal=self.signal.to(device),
            label=self.label.to(device),
            starts={name: starts.to(device) for name, starts in self.starts.items()},
            mean=self.mean.to(device),
            std=self.std.to(device),
            target_mean=self.target_mean.to(device),
            target_std=self.target_std.to(device),
        )


class _Starts(Mapping[str, Tensor]):
    """The starts of each split's windows, counted when a split is first asked for: they follow from the segments."""

    def __init__(self, edges: Tensor, groups: Tensor, metadata: dict[str, Any]):
        self._edges, self._groups, self._metadata = edges, groups, metadata
        self._known: dict[str, Tensor] = {}

    def __getitem__(self, split: str) -> Tensor:
        if split not in self._known:
            metadata, edges = self._metadata, self._edges.numpy()
            chosen = are_in(self._groups.numpy(), metadata["groups"], metadata["split"][split])
            begins, ends = edges[:-1][chosen], edges[1:][chosen]
            starts = window_starts(begins, ends, metadata["window"], metadata["stride"])
            self._known[split] = torch.from_numpy(starts)
        return self._known[split]

    def __iter__(self) -> Iterator[str]:
        return iter(SPLITS)

    def __len__(self) -> int:
        return len(SPLITS)


def open_cache(folder: Path) -> TensorCache:
    """Open the cache by mapping its files, whatever their size; UserError when it is not there or not whole."""
    about, split = _read(folder, SPLITS_FILE)
    data, segments = _read(folder, SEGMENTS_FILE)
    try:
        if about["signal"] != data["digest"]:
            raise ValueError(f"of another {SEGMENTS_FILE}")
        # Where the data has no group, its recordings or rows were dealt out, and the folds are the groups.
        groups = split.get("segment_folds", segments["segment_groups"])
        missing = any(part["missing"] for part in data["parts"])
        metadata = about | {"groups": about.get("groups", data["groups"]), "missing": missing}
        parts = [_read_part(folder, part) for part in data["parts"]]
        return TensorCache(
            signal=join_rows([part["signal"] for part in parts]),
            label=join_rows([part["label"] for part in parts]),
            starts=_Starts(segments["segment_edges"], groups, metadata),
            mean=split["mean"],
            std=split["std"],
            metadata=metadata,
            segment_edges=segments["segment_edges"],
            segment_groups=groups,
            **({name: split[name] for name in ("target_mean", "target_std")} if "targets" in about else {}),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _not_a_cache(folder, SPLITS_FILE, error) from None


def _read_part(folder: Path, part: dict[str, Any]) -> dict[str, Tensor]:
    """The rows of a part that the segments are of."""
    name = f"{SIGNAL_FOLDER}/{part['file']}"
    metadata, tensors = _read(folder, name)
    if metadata["digest"] != part["digest"]:
        raise _not_a_cache(folder, name, f"of another {SEGMENTS_FILE}")
    return tensors


def _read(folder: Path, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The metadata and the tensors of a file."""
    path = folder / name
    try:
        with safe_open(path, framework="pt") as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no dict)
            return json.loads(file.metadata()[METADATA_KEY]), tensors
    except FileNotFoundError:
        if path.exists():  # safetensors also says it of a file that must not be read
            raise UserError(f"{path}: cannot be read; {how_to_mend(folder)}") from None
        raise UserError(f"{path}: no such file; type: dvc repro tensor_cache") from None
    except Exception as error:  # safetensors' own error class derives from Exception alone
        raise _not_a_cache(folder, name, error) from None


def _not_a_cache(folder: Path, name: str, error: Exception | str) -> UserError:
    reason = str(error).partition("\n")[0]
    return UserError(f"{folder / name}: not a tensor cache ({reason}); {how_to_mend(folder)}")


class WindowDataset(torch.utils.data.Dataset):
    """The windows of one split: `batch` for a fast loop, indexing for an ordinary `DataLoader`.

    A signal of at most `SMALL_BYTES` is normalised as a whole, once for all splits: of several processes, such as
    those of DDP, each holds that copy; the forked workers of a `DataLoader` share it. A larger one stays mapped from
    its files, and windows are normalised when they are gathered, to the same bits.
    """

    def __init__(self, cache: TensorCache, split: str):
        self.cache = cache
        self.starts = cache.starts[split]
        self.window = cache.metadata["window"]
        self.channels: int = cache.signal.shape[1]
        self._is_standard = cache.signal.nbytes <= SMALL_BYTES
        signal = cache.standard_signal if self._is_standard else cache.signal
        self._windows: Tensor | PartedRows = signal
        if isinstance(signal, Tensor):
            # Row t of the view is the window that starts at t, flattened; no byte is copied.
            shape = (len(signal) - self.window + 1, self.window * self.channels)
            self._windows = signal.as_strided(shape, (self.channels, 1))
        label, middle_W = cache.label, self.starts + self.window // 2
        self._labels = label.index_select(0, middle_W) if isinstance(label, Tensor) else label.take(middle_W)
        # As long as a flattened window: over short channels torch is five times as slow.
        self._mean, self._std = (values.repeat(self.window) for values in (cache.mean, cache.std))

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """Windows float32 [B, L, C], and the labels of their middle rows: int64 [B], or float32 [B, K].

        The windows are in standard deviations from the training rows' mean; what is missing is the mean.
        """
        starts_B = self.starts.index_select(0, index_B)
        if isinstance(self._windows, Tensor):
            windows = self._windows.index_select(0, starts_B)
        else:
            windows = self._windows.windows(starts_B, self.window).flatten(1)
        if not self._is_standard:
            windows.sub_(self._mean).div_(self._std)
            if self.cache.may_lack_values:
                windows.nan_to_num_()
        return windows.view(-1, self.window, self.channels), self._labels.index_select(0, index_B)

    def labels(self) -> Tensor:
        """Labels of all windows, in order: int64 [W], or float32 [W, K]."""
        return self._labels

    def segments(self) -> Tensor:
        """int64 [W]: the segment that each window lies in."""
        return torch.searchsorted(self.cache.segment_edges, self.starts, right=True) - 1

    def groups(self) -> list:
        """The group of each window, as the data names it."""
        names = self.cache.metadata["groups"]
        return [names[number] for number in self.cache.segment_groups[self.segments()].tolist()]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        windows, labels = self.batch(torch.tensor([index], device=self.starts.device))
        return windows[0], labels[0]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        windows, labels = self.batch(torch.tensor(indices))
        return list(zip(windows, labels, strict=True))
