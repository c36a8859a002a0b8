"""What the GPUs that a process may use are doing, by NVIDIA's own library: use, memory and energy."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Gpus:
    """The GPUs that CUDA shows to this process; none where there is no driver, no package or no device."""

    def __init__(self, environment: Mapping[str, str]):
        self._handles = _open(environment)
        self._begin = [_energy(handle) for handle in self._handles]
        self._uses: list[list[float]] = [[] for _ in self._handles]
        self._memory = [0.0 for _ in self._handles]

    def sample(self) -> dict[str, float]:
        """Use in percent and memory in MiB of each: `gpu_percent` of the first, `gpu1_percent` of the second."""
        values: dict[str, float] = {}
        for index, handle in enumerate(self._handles):
            rates, held = _ask("nvmlDeviceGetUtilizationRates", handle), _ask("nvmlDeviceGetMemoryInfo", handle)
            if rates is None or held is None:  # a slice of a GPU (MIG) does not tell
                continue
            use, memory = float(rates.gpu), round(held.used / 2**20, 1)
            self._uses[index].append(use)
            self._memory[index] = max(self._memory[index], memory)
            name = f"gpu{index or ''}"
            values |= {f"{name}_percent": use, f"{name}_memory_mb": memory}
        return values

    def summary(self) -> list[dict[str, Any]]:
        """Of each GPU since this was made: name, mean use in percent, most memory in MiB, energy in joules.

        What it does not tell is None: the energy of GPUs before Volta, the use of slices.
        """
        return [
            {
                "name": _ask("nvmlDeviceGetName", handle),
                "percent": round(sum(uses) / len(uses), 1) if uses else None,
                "memory_peak_mb": memory or None,
                "energy_joules": None
                if before is None or (now := _energy(handle)) is None
                else round(now - before, 1),
            }
            for handle, before, uses, memory in zip(self._handles, self._begin, self._uses, self._memory, strict=True)
        ]


def visible_gpus(environment: Mapping[str, str], count: int) -> list[int | str]:
    """Index or UUID of each that CUDA shows, in its order; up to the first that is none, as CUDA has it.

    NVML ignores the variable itself.
    """
    value = environment.get("CUDA_VISIBLE_DEVICES")
    if value is None:
        return list(range(count))
    shown: list[int | str] = []
    for entry in map(str.strip, value.split(",")):
        if entry.startswith(("GPU-", "MIG-")):
            shown.append(entry)
        elif entry.isdecimal() and int(entry) < count:
            shown.append(int(entry))
        else:
            break
    return shown


def _open(environment: Mapping[str, str]) -> list[Any]:
    try:
        import pynvml

        pynvml.nvmlInit()
        return [
            pynvml.nvmlDeviceGetHandleByIndex(gpu) if isinstance(gpu, int) else pynvml.nvmlDeviceGetHandleByUUID(gpu)
            for gpu in visible_gpus(environment, pynvml.nvmlDeviceGetCount())
        ]
    except Exception:  # no package, no driver, no such device
        return []


def _energy(handle: Any) -> float | None:
    """Joules since the driver was loaded."""
    millijoules = _ask("nvmlDeviceGetTotalEnergyConsumption", handle)
    return None if millijoules is None else millijoules / 1000


def _ask(function: str, handle: Any) -> Any:
    """The answer of one of NVML's functions; None where the device does not tell."""
    import pynvml

    try:
        return getattr(pynvml, function)(handle)
    except pynvml.NVMLError:
        return None
