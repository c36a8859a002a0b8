"""Huber's loss (1964): squared error where it is small, absolute error beyond, so that outliers pull less."""

from __future__ import annotations

from torch import Tensor, nn

from trackstack.core.params import Positive, Section

TASKS = ("regression",)


class Params(Section):
    """`losses.huber` in params.yaml."""

    delta: Positive
    """Where the one becomes the other, in standard deviations of the target."""


class Loss(nn.Module):
    """See the module's docstring."""

    def __init__(self, params: Params, class_counts: None):
        super().__init__()
        self.delta = params.delta

    def forward(self, outputs_BK: Tensor, targets_BK: Tensor) -> Tensor:
        """One loss per window, float32 [B]: the mean over the targets."""
        return nn.functional.huber_loss(outputs_BK, targets_BK, reduction="none", delta=self.delta).mean(1)
