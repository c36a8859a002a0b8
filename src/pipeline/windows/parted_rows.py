"""Rows that lie in several tensors, such as the mapped files of a signal."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor


class PartedRows:
    """Tensors [n, ...] on the CPU, read as if they were one after the other in a single one [N, ...].

    What is read is copied: a window at a time, of which each is one copy of neighbouring bytes.
    """

    device = torch.device("cpu")

    def __init__(self, parts: Sequence[Tensor]):
        self._parts = [part.numpy() for part in parts]
        self._edges = np.cumsum([0, *map(len, parts)])
        self.shape: tuple[int, ...] = (int(self._edges[-1]), *parts[0].shape[1:])
        self.nbytes = sum(part.nbytes for part in parts)

    def __len__(self) -> int:
        return self.shape[0]

    def windows(self, starts_B: Tensor, length: int) -> Tensor:
        """As many rows from each start on: [B, length, ...]. They may go on from one tensor to the next."""
        starts = starts_B.numpy()
        numbers = np.searchsorted(self._edges, starts, side="right") - 1
        begins = starts - self._edges[numbers]
        pieces = []
        for number, begin in zip(numbers.tolist(), begins.tolist(), strict=True):
            pieces.append(self._parts[number][begin : begin + length])
            missing = length - len(pieces[-1])
            while missing:
                number += 1
                pieces.append(self._parts[number][:missing])
                missing -= len(pieces[-1])
        found = np.concatenate(pieces) if pieces else self._parts[0][:0].copy()
        return torch.from_numpy(found.reshape(len(starts), length, *self.shape[1:]))

    def take(self, rows_N: Tensor) -> Tensor:
        """Many single rows: [N, ...]."""
        rows = rows_N.numpy()
        numbers = np.searchsorted(self._edges, rows, side="right") - 1
        found = np.empty((len(rows), *self.shape[1:]), self._parts[0].dtype)
        for number in np.unique(numbers).tolist():
            chosen = numbers == number
            found[chosen] = self._parts[number][rows[chosen] - self._edges[number]]
        return torch.from_numpy(found)

    def to(self, device: torch.device) -> Tensor:
        """All rows in one tensor on a device."""
        found = torch.empty(self.shape, dtype=torch.from_numpy(self._parts[0][:0]).dtype, device=device)
        for part, begin in zip(self._parts, self._edges.tolist(), strict=False):
            found[begin : begin + len(part)] = torch.from_numpy(part)
        return found


def join_rows(parts: Sequence[Tensor]) -> Tensor | PartedRows:
    """The only tensor, or several as if they were one."""
    return parts[0] if len(parts) == 1 else PartedRows(parts)
