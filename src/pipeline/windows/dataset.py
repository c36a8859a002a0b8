"""Windows of the tensor cache, gathered by one `index_select` on an overlapping view of the signal."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from pipeline.windows.layout import CACHE_FILE, SPLITS
from trackstack import UserError
from trackstack.core.digest import digest_arrays, digest_json
from trackstack.core.files import METADATA_KEY


@dataclass(frozen=True)
class TensorCache:
    """An open tensor cache; the tensors are mapped from the file and read when they are touched."""

    signal: Tensor
    """float32 [T, C], normalised."""
    label: Tensor
    """int64 [T], the number of a class; of a regression float32 [T, K], the amounts in their own units."""
    starts: dict[str, Tensor]
    """Per split: int64 [W], first rows of its windows."""
    mean: Tensor
    """float32 [C], of the training rows before normalisation."""
    std: Tensor
    """float32 [C]."""
    metadata: dict[str, Any]
    """dataset, features, vectors, classes (of a regression task and targets), group, groups, series, window, stride,
    split, sample_rate_hz, digest, and digests of its sources."""
    segment_edges: Tensor = field(default_factory=lambda: torch.zeros(1, dtype=torch.int64))
    """int64 [S + 1]: segment i, neighbours of one group and series, has the rows from edges[i] up to edges[i + 1]."""
    segment_groups: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.int64))
    """int64 [S]: the number of a segment's group in the metadata's `groups`."""
    target_mean: Tensor = field(default_factory=lambda: torch.zeros(0))
    """float32 [K], of the training rows' amounts; none of a classification."""
    target_std: Tensor = field(default_factory=lambda: torch.zeros(0))
    """float32 [K]."""

    @property
    def task(self) -> str:
        """classification or regression."""
        return self.metadata.get("task", "classification")

    def with_standard_targets(self) -> TensorCache:
        """The same cache with amounts in standard deviations from the training rows' mean; itself without amounts."""
        if self.task == "classification":
            return self
        return replace(self, label=(self.label - self.target_mean) / self.target_std)

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


def open_cache(folder: Path) -> TensorCache:
    """Open the cache in constant time, whatever its size; UserError when it is not there or not whole."""
    path = folder / CACHE_FILE
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads(file.metadata()[METADATA_KEY])
            tensor = file.get_tensor
            more = ("target_mean", "target_std") if "targets" in metadata else ()
            return TensorCache(
                signal=tensor("signal"),
                label=tensor("label"),
                starts={name: tensor(f"starts_{name}") for name in SPLITS},
                mean=tensor("mean"),
                std=tensor("std"),
                metadata=metadata,
                segment_edges=tensor("segment_edges"),
                segment_groups=tensor("segment_groups"),
                **{name: tensor(name) for name in more},
            )
    except FileNotFoundError:
        if path.exists():  # safetensors also says it of a file that must not be read
            raise UserError(f"{path}: cannot be read; {_todo(folder)}") from None
        raise UserError(f"{path}: no such file; type: dvc repro tensor_cache") from None
    except Exception as error:  # safetensors' own error class derives from Exception alone
        reason = str(error).partition("\n")[0]
        raise UserError(f"{path}: not a tensor cache ({reason}); {_todo(folder)}") from None


def refuse_damage(cache: TensorCache, folder: Path) -> None:
    """Read the cache once and compare it with its digest; UserError when it is not what was written."""
    tensors = {"signal": cache.signal, "label": cache.label, "mean": cache.mean, "std": cache.std}
    tensors |= {"segment_edges": cache.segment_edges, "segment_groups": cache.segment_groups}
    tensors |= {f"starts_{name}": starts for name, starts in cache.starts.items()}
    if cache.task == "regression":
        tensors |= {"target_mean": cache.target_mean, "target_std": cache.target_std}
    rest = {name: value for name, value in cache.metadata.items() if name != "digest"}
    actual = digest_json([rest, digest_arrays({name: tensor.numpy() for name, tensor in tensors.items()})])
    if actual != cache.metadata.get("digest"):
        raise UserError(f"{folder / CACHE_FILE}: damaged: it is not what its digest says; {_todo(folder)}")


def _todo(folder: Path) -> str:
    """How a damaged cache is mended: DVC's own copy is likely to be the same file."""
    return f"type: trackstack repair {folder} && dvc repro --force tensor_cache"


class WindowDataset(torch.utils.data.Dataset):
    """The windows of one split: `batch` for a fast loop, indexing for an ordinary `DataLoader`."""

    def __init__(self, cache: TensorCache, split: str):
        self.cache = cache
        self.starts = cache.starts[split]
        self.window = cache.metadata["window"]
        num_rows, self.channels = cache.signal.shape
        # Row t of the view is the window that starts at t, flattened; no byte is copied.
        shape = (num_rows - self.window + 1, self.window * self.channels)
        self._windows = cache.signal.as_strided(shape, (self.channels, 1))
        self._labels = cache.label[self.window // 2 :]

    def __len__(self) -> int:
        return len(self.starts)

    def batch(self, index_B: Tensor) -> tuple[Tensor, Tensor]:
        """Windows float32 [B, L, C], and the labels of their middle rows: int64 [B], or float32 [B, K]."""
        starts_B = self.starts.index_select(0, index_B)
        windows = self._windows.index_select(0, starts_B)
        return windows.view(-1, self.window, self.channels), self._labels.index_select(0, starts_B)

    def labels(self) -> Tensor:
        """Labels of all windows, in order: int64 [W], or float32 [W, K]."""
        return self._labels.index_select(0, self.starts)

    def segments(self) -> Tensor:
        """int64 [W]: the segment that each window lies in."""
        return torch.searchsorted(self.cache.segment_edges, self.starts, right=True) - 1

    def groups(self) -> list:
        """The group of each window, as the data names it."""
        names = self.cache.metadata["groups"]
        return [names[number] for number in self.cache.segment_groups[self.segments()].tolist()]

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        start = self.starts[index]
        return self._windows[start].view(self.window, self.channels), self._labels[start]

    def __getitems__(self, indices: list[int]) -> list[tuple[Tensor, Tensor]]:
        windows, labels = self.batch(torch.tensor(indices))
        return list(zip(windows, labels, strict=True))
