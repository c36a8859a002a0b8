"""A multilayer perceptron over the flattened window: the baseline, and the model for tabular data."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field
from torch import Tensor, nn

from pipeline.modeling.base import Shape
from trackstack.core.params import Fraction, Section


class Params(Section):
    """`models.mlp` in params.yaml."""

    hidden: Annotated[int, Field(strict=True, ge=1, le=65536)]
    dropout: Fraction


class Model(nn.Module):
    """Two hidden layers."""

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Flatten(),
            nn.Linear(shape.window * shape.channels, params.hidden),
            nn.ReLU(),
            nn.Dropout(params.dropout),
            nn.Linear(params.hidden, params.hidden),
            nn.ReLU(),
            nn.Dropout(params.dropout),
            nn.Linear(params.hidden, shape.outputs),
        )

    def forward(self, windows_BLC: Tensor) -> Tensor:
        """Outputs [B, K] of windows [B, L, C]."""
        return self.layers(windows_BLC)
