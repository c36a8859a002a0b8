"""Cross-entropy, with label smoothing and class weights."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from trackstack.core.params import Fraction, Section


class Params(Section):
    """`losses.cross_entropy` in params.yaml."""

    label_smoothing: Fraction
    class_weights: Literal["none", "balanced"]
    """balanced: a window counts in inverse proportion to the number of windows of its class."""


class Loss(nn.Module):
    """See the module's docstring."""

    weights_K: Tensor

    def __init__(self, params: Params, class_counts: Tensor):
        super().__init__()
        self.label_smoothing = params.label_smoothing
        balanced_K = class_counts.sum() / (len(class_counts) * class_counts.clamp(min=1))
        weights_K = balanced_K if params.class_weights == "balanced" else torch.ones(len(class_counts))
        self.register_buffer("weights_K", weights_K.float())

    def forward(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """One loss per window, float32 [B]."""
        return nn.functional.cross_entropy(
            logits_BK, labels_B, self.weights_K, reduction="none", label_smoothing=self.label_smoothing
        )
