"""Several processes that train as one: each takes its part of every batch, and the result is the same.

For that, whatever depends on a whole batch uses the global one: gradients are added up over the processes, batch
norm takes its statistics and dropout its random numbers from all windows of the batch. Only the last bits differ,
since sums are made in another order.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

# Not by torch itself within `join`: its functions keep, as a default, the group that there is when it is imported.
# That group's threads would then live on until Python ends, and may abort a process that has done its work.
import torch.distributed.nn.functional
from torch import Tensor, nn

from trackstack import UserError


@dataclass
class Ranks:
    """This process among those that train together; alone, nothing is exchanged."""

    rank: int = 0
    world: int = 1
    rows: slice = field(default_factory=lambda: slice(0, 0))
    """Of the present batch: this process's windows."""
    total: int = 0
    """Of the present batch: all windows."""

    def share(self, total: int) -> slice:
        """This process's rows of a batch; with fewer windows than processes some get none."""
        return slice(total * self.rank // self.world, total * (self.rank + 1) // self.world)

    def begin_batch(self, total: int) -> slice:
        """Note the batch that comes now, for layers that need all of it; returns this process's rows."""
        self.total, self.rows = total, self.share(total)
        return self.rows

    def sum_(self, tensor: Tensor) -> Tensor:
        """Add a tensor up over all processes, in place."""
        if self.world > 1:
            dist.all_reduce(tensor)
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process; one small message between CPUs, so that no GPU is waited for."""
        if self.world == 1:
            return flag
        return bool(self.sum_(torch.tensor(int(flag))).item())

    def from_first(self, number: int) -> int:
        """The first process's number, in every process; the others wait for it."""
        if self.world == 1:
            return number
        message = torch.tensor(number)
        dist.broadcast(message, 0)
        return int(message)

    def wait_for_first(self) -> None:
        """Return when the first process has come here: a process that ends earlier would end that, too."""
        self.from_first(0)

    def sum_gradients(self, model: nn.Module, loss: Tensor) -> Tensor:
        """Add up the gradients of all processes, and return the sum of their losses.

        One flat message, not `DistributedDataParallel`: that regroups its messages after the first step, so that a
        resumed run would add in another order than an uninterrupted one.
        """
        parameters = [p for p in model.parameters() if p.requires_grad]
        for parameter in parameters:
            if parameter.grad is None:  # it took no part in this process, but perhaps in another
                parameter.grad = torch.zeros_like(parameter)
        if self.world == 1:
            return loss.detach()
        gradients = [p.grad for p in parameters if p.grad is not None]
        flat = self.sum_(torch.cat([*(gradient.flatten() for gradient in gradients), loss.detach().reshape(1)]))
        *sums, loss_sum = flat.split([*(p.numel() for p in parameters), 1])
        for parameter, total in zip(parameters, sums, strict=True):
            parameter.grad = total.view_as(parameter)
        return loss_sum.squeeze(0)


@contextlib.contextmanager
def join(batch_size: int) -> Iterator[Ranks]:
    """The processes that `trackstack.training.launch` or `torchrun` started; alone without them.

    Raises:
        UserError: more processes than windows in a batch.
    """
    world = int(os.environ.get("WORLD_SIZE", 1)) if "TORCHELASTIC_RUN_ID" in os.environ else 1
    if world > batch_size:
        raise UserError(
            f"params.yaml: train.batch_size is {batch_size}; expected at least {world}, the number of processes"
        )
    if world == 1:
        yield Ranks()
        return
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend)
    try:
        yield Ranks(dist.get_rank(), world)
    finally:
        dist.destroy_process_group()


def globalize(model: nn.Module, ranks: Ranks) -> nn.Module:
    """Let the batch norms and dropouts of a model use the whole batch; parameters and their names stay.

    Dropout in a single process, too: torch's own draws other masks on a GPU.
    """
    for name, child in model.named_children():
        if isinstance(child, nn.modules.batchnorm._BatchNorm) and ranks.world > 1:
            setattr(model, name, GlobalBatchNorm(child))
        elif type(child) is nn.Dropout:
            setattr(model, name, GlobalDropout(child.p, ranks))
        else:
            globalize(child, ranks)
    return model


class _Sum(torch.autograd.Function):
    """A sum over all processes that gradients flow through; torch's own is deprecated without a public successor."""

    @staticmethod
    def forward(context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        dist.all_reduce(total)
        return total

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _Sum.forward(context, gradient)


class GlobalBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm over the windows of all processes; torch's own SyncBatchNorm is for GPUs alone."""

    def __init__(self, single: nn.modules.batchnorm._BatchNorm):
        super().__init__(single.num_features, single.eps, single.momentum, single.affine, single.track_running_stats)
        self.load_state_dict(single.state_dict())

    def _check_input_dim(self, values: Tensor) -> None:
        pass

    def forward(self, values: Tensor) -> Tensor:
        """Values [B, C, ...] with mean 0 and variance 1 per channel, scaled and shifted."""
        if not self.training:
            return super().forward(values)
        wide = values.float()  # under autocast
        summed_axes = [axis for axis in range(wide.ndim) if axis != 1]
        own_count_1 = wide.new_full((1,), wide.numel() // wide.shape[1])
        *sums_C, count = _Sum.apply(torch.cat([wide.sum(summed_axes), own_count_1])).split([wide.shape[1], 1])
        mean_C = sums_C[0] / count
        shape = [-1 if axis == 1 else 1 for axis in range(wide.ndim)]
        centred = wide - mean_C.view(shape)
        variance_C = _Sum.apply(centred.square().sum(summed_axes)) / count
        if self.track_running_stats:
            self._update_running_stats(mean_C.detach(), variance_C.detach() * count / (count - 1).clamp(min=1))
        normal = centred * torch.rsqrt(variance_C + self.eps).view(shape)
        if self.affine:
            normal = normal * self.weight.view(shape) + self.bias.view(shape)
        return normal.to(values.dtype)

    def _update_running_stats(self, mean_C: Tensor, variance_C: Tensor) -> None:
        assert self.num_batches_tracked is not None
        assert self.running_mean is not None
        assert self.running_var is not None
        self.num_batches_tracked += 1
        share = self.momentum if self.momentum is not None else 1 / self.num_batches_tracked
        self.running_mean.lerp_(mean_C, share)
        self.running_var.lerp_(variance_C, share)


class GlobalDropout(nn.Module):
    """Dropout whose mask is drawn for the whole batch, as one process would, and cut to the own rows."""

    def __init__(self, p: float, ranks: Ranks):
        super().__init__()
        self.p, self._ranks = p, ranks

    def forward(self, values: Tensor) -> Tensor:
        """Values [B, ...], a share of `p` of them zero while training."""
        rows = self._ranks.rows
        if not self.training or self.p == 0:
            return values
        if len(values) != rows.stop - rows.start:  # the first axis is not the batch's: each process on its own
            return nn.functional.dropout(values, self.p)
        mask = values.new_empty(self._ranks.total, *values.shape[1:]).bernoulli_(1 - self.p).div_(1 - self.p)
        return values * mask[rows]
