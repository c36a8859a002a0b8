"""What makes results repeat to the bit: fixed instruction sets, threads and kernels."""

from __future__ import annotations

import contextlib
import os
import re
import sys
from collections.abc import Iterator

from trackstack import UserError

# Torch's kernels differ in their last bits between instruction sets and MKL's number of threads, and on a GPU between
# calls. AVX2 is what every x86-64 cluster node of the last ten years has; elsewhere these variables do nothing.
PINNED_ENVIRONMENT = {
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_CBWR": "COMPATIBLE",
    "MKL_DYNAMIC": "FALSE",
    "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
}


def pin_environment(deterministic: bool = True) -> None:
    """Set what torch reads when it is imported.

    Args:
        deterministic: whether results are to be the same on other processors, too.
    """
    if deterministic:
        os.environ.update(PINNED_ENVIRONMENT)
    # A thread that sleeps while it waits makes small steps half as fast; a thread that spins takes the core from
    # others. GNU's OpenMP, which torch brings on Linux, can spin for a moment and then sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def warn_unless_pinned() -> None:
    """Warn when torch was imported without `pin_environment`: in a notebook, or in a script of one's own."""
    if any(os.environ.get(name) != value for name, value in PINNED_ENVIRONMENT.items()):
        print(
            "warning: torch may use other instruction sets than the stage does, and the last bits may differ; call "
            "trackstack.training.determinism.pin_environment() before torch is imported",
            file=sys.stderr,
        )


def configure_torch(threads: int, deterministic: bool = True, compiler: bool = False) -> None:
    """Fix what decides the bits of a result beside the seed: threads, kernels, and float32 that is no TF32.

    Args:
        deterministic: use only kernels whose results repeat; False lets cuDNN try which kernel is the fastest.
        compiler: whether `torch.compile` is to obey as well. It takes a second to import.
    """
    import torch

    torch.set_num_threads(threads)
    torch.backends.cudnn.benchmark = not deterministic
    torch.backends.cudnn.allow_tf32 = False
    torch.backends.cuda.matmul.allow_tf32 = False
    if not deterministic:
        return
    if compiler:
        torch.use_deterministic_algorithms(True)
    else:
        torch.set_deterministic_debug_mode("error")  # the same without the import
    # Else every new tensor is filled with NaN first, which doubles the time of gathering a batch.
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]


@contextlib.contextmanager
def name_nondeterministic_kernels(setting: str) -> Iterator[None]:
    """Turn torch's refusal of a kernel whose results do not repeat into a `UserError` that names it.

    Args:
        setting: how a person allows it, for the message.
    """
    try:
        yield
    except RuntimeError as error:
        match = re.match(r"(\S+) does not have a deterministic implementation", str(error))
        if match is None:
            raise
        raise UserError(
            f"params.yaml: {match[1]}, which the model or the loss uses, has no kernel whose results repeat to the "
            f"bit; use another layer, or set {setting}"
        ) from None
