"""Focal loss: windows that are classified well already count less (Lin et al. 2017, arXiv 1708.02002)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from trackstack.core.params import NonNegative, Section


class Params(Section):
    """`losses.focal` in params.yaml."""

    gamma: NonNegative
    """0 is cross-entropy; 2 is what the paper recommends."""


class Loss(nn.Module):
    """See the module's docstring."""

    def __init__(self, params: Params, class_counts: Tensor):
        super().__init__()
        self.gamma = params.gamma

    def forward(self, logits_BK: Tensor, labels_B: Tensor) -> Tensor:
        """One loss per window, float32 [B]."""
        loss_B = nn.functional.cross_entropy(logits_BK, labels_B, reduction="none")
        return (1 - torch.exp(-loss_B)) ** self.gamma * loss_B
