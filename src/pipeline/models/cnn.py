"""A small residual 1-D convolutional network: the default for windows of a signal.

A stem that looks at 9 rows and keeps every fourth place, residual blocks (He et al. 2016), then mean and
maximum over time. Any number of rows, channels and outputs will do. A single row has no time: where the rows of a
table are the samples, hidden layers of the same widths correct a linear model, which is where training begins
(Cheng et al. 2016, arXiv 1606.07792).
"""

from __future__ import annotations

from itertools import pairwise
from typing import Annotated

import torch
from pydantic import AfterValidator, Field
from torch import Tensor, nn

from pipeline.modeling.base import Shape
from trackstack.core.params import Count, Fraction, Section

Width = Annotated[int, Field(strict=True, ge=1, le=65536)]


def _odd(kernel: int) -> int:
    if kernel % 2 == 0:
        raise ValueError("expected an odd number, so that a place has as many neighbours on either side")
    return kernel


class Params(Section):
    """`models.cnn` in params.yaml."""

    widths: Annotated[tuple[Width, ...], Field(min_length=1)]
    """Channels of each residual block, of which every one but the first halves the time axis; for single rows of each
    hidden layer."""
    kernel: Annotated[Count, AfterValidator(_odd)]
    dropout: Fraction


class Model(nn.Module):
    """See the module's docstring."""

    def __init__(self, params: Params, shape: Shape):
        super().__init__()
        first, last = params.widths[0], params.widths[-1]
        if shape.window == 1:
            self.hidden = _hidden_layers([shape.channels, *params.widths], params.dropout)
            self.head = nn.Linear(last, shape.outputs)
            self.linear = nn.Linear(shape.channels, shape.outputs)
            nn.init.zeros_(self.head.weight)
            nn.init.zeros_(self.head.bias)
            return
        self.stem = nn.Sequential(_convolution(shape.channels, first, 9, stride=4), nn.ReLU())
        channels = [first, *params.widths]
        blocks = [
            Block(before, after, params.kernel, stride=1 if number == 0 else 2)
            for number, (before, after) in enumerate(pairwise(channels))
        ]
        self.blocks = nn.Sequential(*blocks)
        self.dropout = nn.Dropout(params.dropout)
        self.head = nn.Linear(2 * last, shape.outputs)

    def forward(self, windows_BLC: Tensor) -> Tensor:
        """Outputs [B, K] of windows [B, L, C]."""
        if windows_BLC.shape[1] == 1:
            rows_BC = windows_BLC[:, 0]
            return self.linear(rows_BC) + self.head(self.hidden(rows_BC))
        # As images of one line, in the windows' own memory layout (channels last): on a CPU, torch computes these a
        # quarter faster than the same as Conv1d.
        features_BD1L = self.blocks(self.stem(windows_BLC.transpose(1, 2).unsqueeze(2)))
        pooled_BD = torch.cat([features_BD1L.mean((2, 3)), features_BD1L.amax((2, 3))], dim=1)
        return self.head(self.dropout(pooled_BD))


class Block(nn.Module):
    """Two convolutions, and a way around them."""

    def __init__(self, before: int, after: int, kernel: int, stride: int):
        super().__init__()
        self.first = _convolution(before, after, kernel, stride)
        self.second = _convolution(after, after, kernel)
        same_shape = before == after and stride == 1
        self.skip = nn.Identity() if same_shape else _convolution(before, after, 1, stride)

    def forward(self, features_BD1L: Tensor) -> Tensor:
        """Features [B, D, 1, L] to [B, D', 1, L / stride]."""
        hidden = torch.relu(self.first(features_BD1L))
        return torch.relu(self.skip(features_BD1L) + self.second(hidden))


def _hidden_layers(widths: list[int], dropout: float) -> nn.Sequential:
    layers = [
        layer
        for before, after in pairwise(widths)
        for layer in (nn.Linear(before, after), nn.ReLU(), nn.Dropout(dropout))
    ]
    return nn.Sequential(*layers)


def _convolution(before: int, after: int, kernel: int, stride: int = 1) -> nn.Sequential:
    convolution = nn.Conv2d(before, after, (1, kernel), (1, stride), padding=(0, kernel // 2), bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(after))
