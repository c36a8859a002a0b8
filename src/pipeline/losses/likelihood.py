"""The likelihood of what was measured: cross-entropy for classes, squared error for amounts."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from trackstack.core.params import Fraction, Section

TASKS = ("classification", "regression")


class Params(Section):
    """`losses.likelihood` in params.yaml: for classes alone, amounts have nothing to choose."""

    label_smoothing: Fraction
    class_weights: Literal["none", "balanced"]
    """balanced: a window counts in inverse proportion to the number of windows of its class."""


class Loss(nn.Module):
    """See the module's docstring."""

    weights_K: Tensor | None

    def __init__(self, params: Params, class_counts: Tensor | None):
        super().__init__()
        self.label_smoothing = params.label_smoothing
        weights_K = None if class_counts is None else _weights(class_counts, params.class_weights == "balanced")
        self.register_buffer("weights_K", weights_K)

    def forward(self, outputs_BK: Tensor, labels: Tensor) -> Tensor:
        """One loss per window, float32 [B]; of amounts the mean over the targets."""
        if self.weights_K is None:
            return (outputs_BK - labels).square().mean(1)
        return nn.functional.cross_entropy(
            outputs_BK, labels, self.weights_K, reduction="none", label_smoothing=self.label_smoothing
        )


def _weights(class_counts: Tensor, balanced: bool) -> Tensor:
    if not balanced:
        return torch.ones(len(class_counts))
    return (class_counts.sum() / (len(class_counts) * class_counts.clamp(min=1))).float()
