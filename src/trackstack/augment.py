"""Random changes to training windows that leave their meaning, vectorised over the batch.

For the vectors that the catalog names: a sensor that sits askew (rotation), on the other side of the body
(mirror) or is badly calibrated (gain). For every feature: a faster or slower, earlier or later movement
(stretch, shift), and noise (jitter).
"""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor

from trackstack.params import AugmentParams
from trackstack.windows import TensorCache

# Seen in a mirror across the y-z plane, an acceleration has another x; a turn has another y and z.
MIRRORED = {"acceleration": (-1.0, 1.0, 1.0), "angular_rate": (1.0, -1.0, -1.0)}


def augment(windows_BLC: Tensor, cache: TensorCache, params: AugmentParams, generator: Generator) -> Tensor:
    """Change windows at random; shapes stay, and a strength of 0 does nothing."""
    vectors = cache.metadata["vectors"]
    # Rotation mixes channels and zero must be zero, so this is done in the features' own units.
    raw_BLC = windows_BLC * cache.std + cache.mean
    if vectors:
        raw_BLC = turn_vectors(raw_BLC, vectors, params, generator)
    if windows_BLC.shape[1] > 1 and (params.stretch > 0 or params.shift > 0):
        raw_BLC = stretch_and_shift(raw_BLC, vectors, params, generator)
    windows_BLC = (raw_BLC - cache.mean) / cache.std
    if params.jitter > 0:
        windows_BLC = windows_BLC + params.jitter * torch.randn(windows_BLC.shape, generator=generator)
    return windows_BLC


def turn_vectors(raw_BLC: Tensor, vectors: list[dict], params: AugmentParams, generator: Generator) -> Tensor:
    """Rotate and mirror all vectors of a window alike, and multiply each by a factor of its own."""
    batch = len(raw_BLC)
    raw_BLC = raw_BLC.clone()
    rotation_B33 = random_rotations(batch, math.radians(params.rotation), generator)
    mirrored_B1 = torch.rand(batch, 1, generator=generator) < params.mirror
    for vector in vectors:
        sign_B3 = torch.where(mirrored_B1, torch.tensor(MIRRORED[vector["kind"]]), torch.ones(3))
        gain_B1 = 1 + params.gain * torch.randn(batch, 1, generator=generator)
        change_B33 = (gain_B1 * sign_B3)[:, :, None] * rotation_B33
        raw_BLC[:, :, vector["axes"]] = raw_BLC[:, :, vector["axes"]] @ change_B33
    return raw_BLC


def random_rotations(count: int, std: float, generator: Generator) -> Tensor:
    """Rotation matrices [count, 3, 3] whose rotation vectors are normal, `std` radians along each axis."""
    x, y, z = (std * torch.randn(count, 3, generator=generator)).unbind(1)
    zero = torch.zeros(count)
    rows = [torch.stack(row, dim=1) for row in ((zero, -z, y), (z, zero, -x), (-y, x, zero))]
    return torch.linalg.matrix_exp(torch.stack(rows, dim=1))


def stretch_and_shift(raw_BLC: Tensor, vectors: list[dict], params: AugmentParams, generator: Generator) -> Tensor:
    """Play windows faster or slower and earlier or later, interpolated, and mirrored at their ends."""
    batch, length, channels = raw_BLC.shape
    last = length - 1
    speed_B1 = torch.exp(params.stretch * torch.randn(batch, 1, generator=generator))
    offset_B1 = params.shift * length * (2 * torch.rand(batch, 1, generator=generator) - 1)
    place_BL = ((torch.arange(length) - last / 2) * speed_B1 + last / 2 + offset_B1).abs()
    place_BL = (last - (last - place_BL).abs()).clamp(0, last)
    before_BL = place_BL.long().clamp(max=last - 1)
    part_BL1 = (place_BL - before_BL)[:, :, None]
    index_BLC = before_BL[:, :, None].expand(batch, length, channels)
    raw_BLC = raw_BLC.gather(1, index_BLC) * (1 - part_BL1) + raw_BLC.gather(1, index_BLC + 1) * part_BL1
    for vector in vectors:
        if vector["kind"] == "angular_rate":  # a faster movement turns faster
            raw_BLC[:, :, vector["axes"]] *= speed_B1[:, :, None]
    return raw_BLC
