"""What happens at which step: the learning-rate schedule, the order of the windows, the seed of everything random."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable

import torch
from torch import Tensor

from pipeline.train.params import Params


def step_seed(seed: int, step: int) -> int:
    """The seed of everything random at a step."""
    return int.from_bytes(hashlib.blake2b(f"{seed} step {step}".encode(), digest_size=4).digest())


def epoch_order(count: int, seed: int, epoch: int) -> Tensor:
    """The order of the training windows in an epoch: int64 [W], the same on every device."""
    text = f"{seed} epoch {epoch}".encode()
    generator = torch.Generator().manual_seed(int.from_bytes(hashlib.blake2b(text, digest_size=4).digest()))
    return torch.randperm(count, generator=generator)


def batches(order_W: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order of windows into batches; a single last window joins the batch before: batch norm needs two."""
    parts = list(order_W.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def warmup_cosine(params: Params, steps_per_epoch: int) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: a linear rise, then half a cosine down to 0."""
    total = params.epochs * steps_per_epoch
    rise = round(params.warmup * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))

    return factor
