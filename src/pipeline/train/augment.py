"""Random changes to training windows that leave their meaning, vectorised over the batch.

For the vectors that the catalog names: a sensor that sits askew (rotation), on the other side of the body
(mirror) or is badly calibrated (gain). For every feature: a faster or slower, earlier or later movement
(stretch, shift), and noise (jitter).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from pipeline.train.params import AugmentParams
from pipeline.windows.dataset import TensorCache

# Seen in a mirror across the y-z plane, an acceleration has another x; a turn has another y and z.
MIRRORED = {"acceleration": (-1.0, 1.0, 1.0), "angular_rate": (1.0, -1.0, -1.0)}


class Augment:
    """Changes windows of a cache at random; shapes stay, and a strength of 0 does nothing.

    Its constants lie on the device before the first step, so that no step waits for a copy.
    """

    def __init__(self, cache: TensorCache, params: AugmentParams, device: torch.device):
        self.params = params
        self.mean_C, self.std_C = cache.mean.to(device), cache.std.to(device)
        vectors = cache.metadata["vectors"]
        self.axes = [torch.tensor(vector["axes"], device=device) for vector in vectors]
        self.signs = [torch.tensor(MIRRORED[vector["kind"]], device=device) for vector in vectors]
        self.is_rate = [vector["kind"] == "angular_rate" for vector in vectors]
        self.device = device

    def __call__(self, windows_BLC: Tensor, generator: Generator, rows: slice, total: int) -> Tensor:
        """Change the windows that are `rows` of a batch of `total`.

        Random numbers are drawn for the whole batch: what happens to a window does not depend on how many processes
        share the batch.
        """
        params = self.params
        draw = _Draw(generator, rows, total, self.device)
        # Turns mix channels and zero must be zero, so this is done in the features' own units.
        raw_BLC = windows_BLC * self.std_C + self.mean_C
        speed_B1 = None
        if windows_BLC.shape[1] > 1 and (params.stretch > 0 or params.shift > 0):
            raw_BLC, speed_B1 = self._stretch_and_shift(raw_BLC, draw)
        if self.axes:
            raw_BLC = raw_BLC @ self._turns(raw_BLC, speed_B1, draw)
        windows_BLC = (raw_BLC - self.mean_C) / self.std_C
        if params.jitter > 0:
            windows_BLC = windows_BLC + params.jitter * draw.normal(*windows_BLC.shape[1:])
        return windows_BLC

    def _turns(self, raw_BLC: Tensor, speed_B1: Tensor | None, draw: _Draw) -> Tensor:
        """Matrices [B, C, C]: rotate and mirror all vectors of a window alike, each times a factor of its own."""
        batch, _, channels = raw_BLC.shape
        turn_BCC = torch.eye(channels, device=self.device).repeat(batch, 1, 1)
        rotation_B33 = rotations(math.radians(self.params.rotation) * draw.normal(3))
        mirrored_B1 = draw.uniform(1) < self.params.mirror
        for axes_3, sign_3, is_rate in zip(self.axes, self.signs, self.is_rate, strict=True):
            factor_B3 = torch.where(mirrored_B1, sign_3, 1.0) * (1 + self.params.gain * draw.normal(1))
            if is_rate and speed_B1 is not None:  # a faster movement turns faster
                factor_B3 = factor_B3 * speed_B1
            turn_BCC[:, axes_3[:, None], axes_3] = factor_B3[:, :, None] * rotation_B33
        return turn_BCC

    def _stretch_and_shift(self, raw_BLC: Tensor, draw: _Draw) -> tuple[Tensor, Tensor]:
        """Play windows faster or slower and earlier or later, interpolated, and mirrored at their ends.

        Returns:
            The windows, and the speed of each, [B, 1].
        """
        batch, length, channels = raw_BLC.shape
        last = length - 1
        speed_B1 = torch.exp(self.params.stretch * draw.normal(1))
        offset_B1 = self.params.shift * length * (2 * draw.uniform(1) - 1)
        place_BL = ((torch.arange(length, device=self.device) - last / 2) * speed_B1 + last / 2 + offset_B1).abs()
        place_BL = (last - (last - place_BL).abs()).clamp(0, last)
        before_BL = place_BL.long().clamp(max=last - 1)
        part_BL1 = (place_BL - before_BL)[:, :, None]
        first_row_B1 = length * torch.arange(batch, device=self.device)[:, None]
        index = (first_row_B1 + before_BL).flatten()
        rows = raw_BLC.reshape(-1, channels)
        before, after = (rows.index_select(0, place).view_as(raw_BLC) for place in (index, index + 1))
        return before.lerp(after, part_BL1), speed_B1


class _Draw:
    """Random numbers [B, ...] for this process's rows of a batch."""

    def __init__(self, generator: Generator, rows: slice, total: int, device: torch.device):
        self._generator, self._rows, self._total, self._device = generator, rows, total, device

    def normal(self, *shape: int) -> Tensor:
        numbers = torch.randn(self._total, *shape, generator=self._generator, device=self._device)
        return numbers[self._rows]

    def uniform(self, *shape: int) -> Tensor:
        numbers = torch.rand(self._total, *shape, generator=self._generator, device=self._device)
        return numbers[self._rows]


def rotations(vectors_B3: Tensor) -> Tensor:
    """Rotation matrices [B, 3, 3] of rotation vectors (axis times angle, in radians), by Rodrigues' formula."""
    angle_B11 = vectors_B3.norm(dim=1)[:, None, None]
    x, y, z = vectors_B3.unbind(1)
    zero = torch.zeros_like(x)
    rows = [torch.stack(row, dim=1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    cross_B33 = torch.stack(rows, dim=1)
    # sin(a)/a and (1-cos(a))/a^2, both finite where the angle is 0.
    first_B11 = torch.sinc(angle_B11 / math.pi)
    second_B11 = 0.5 * torch.sinc(angle_B11 / (2 * math.pi)) ** 2
    identity = torch.eye(3, device=vectors_B3.device)
    return identity + first_B11 * cross_B33 + second_B11 * (cross_B33 @ cross_B33)
