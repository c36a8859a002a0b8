"""The device of a computation."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager

import torch

from trackstack import UserError

EXPECTED = "cpu, cuda, cuda:0 ... or mps"
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "ALLOC_FAILED")  # CUDA and MPS, the CPU, cuBLAS


def choose_device() -> torch.device:
    """What `TRACKSTACK_DEVICE` names, else a GPU where there is one, else the CPU.

    Raises:
        UserError: the device is unknown or not there, or SLURM gave the job a GPU that torch cannot use, which would
            be idle while the job trains on the CPU.
    """
    wanted = os.environ.get("TRACKSTACK_DEVICE")
    if wanted:
        return _wanted_device(wanted)
    if torch.cuda.is_available():
        return _wanted_device("cuda")
    if torch.backends.mps.is_available():
        return _wanted_device("mps")
    if os.environ.get("SLURM_JOB_GPUS"):
        raise UserError(
            f"SLURM_JOB_GPUS is {os.environ['SLURM_JOB_GPUS']}, but torch {torch.__version__} cannot use a GPU; "
            "install a build for the cluster's driver, or set TRACKSTACK_DEVICE=cpu"
        )
    return torch.device("cpu")


def _wanted_device(name: str) -> torch.device:
    if name == "cuda" and "TORCHELASTIC_RUN_ID" in os.environ:  # each of several processes has a GPU of its own
        name = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        device = torch.device(name)
    except RuntimeError:
        raise UserError(f"TRACKSTACK_DEVICE is {name!r}; expected {EXPECTED}") from None
    if device.type not in ("cpu", "cuda", "mps"):
        raise UserError(f"TRACKSTACK_DEVICE is {name!r}; expected {EXPECTED}")
    try:
        # A GPU that is there may still be one that this build of torch has no kernels for.
        probe = torch.ones(2, device=device)
        probe.sum().item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(f"TRACKSTACK_DEVICE: torch {torch.__version__} cannot compute on {name} ({reason})") from None
    if device.type == "cuda":
        torch.cuda.set_device(probe.device)
    return probe.device  # with its number: `cuda` alone is not equal to the `cuda:0` of a tensor


def describe_device(device: torch.device) -> str:
    """For a record: `cpu`, or `cuda (NVIDIA H100 80GB HBM3)`."""
    return f"cuda ({torch.cuda.get_device_name(device)})" if device.type == "cuda" else device.type


def autocast(device: torch.device, precision: str) -> AbstractContextManager[None]:
    """The block's matrix products and convolutions in `precision`: float32 or bf16."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=precision == "bf16")


@contextlib.contextmanager
def memory_errors_in_a_line(device: torch.device, batch_size: int) -> Iterator[None]:
    """Turn what torch raises when memory runs out into a `UserError`."""
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in OUT_OF_MEMORY):
            raise
        raise UserError(
            f"params.yaml: {device} is out of memory at train.batch_size {batch_size}; lower it or the size of the "
            "model, use more processes, or a device with more memory"
        ) from None
