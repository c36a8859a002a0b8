"""Checkpoints: everything that a computation needs to go on, in one file without pickle.

    checkpoints = Checkpoints(run.folder / "checkpoints", run.id)
    if checkpoint := checkpoints.load():
        step, state = checkpoint
        model.load_state_dict(state["model"])
    ...
    if checkpoints.due():
        checkpoints.save(step, {"model": model.state_dict(), "random": random_states(), "history": history})

A file is written under another name, flushed to disk and renamed; the last two are kept, and one that is damaged is
skipped with a warning. The tensors lie in safetensors' format, all else as JSON in its metadata.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from trackstack import UserError
from trackstack.core.digest import digest_arrays, digest_json
from trackstack.core.files import METADATA_KEY, remove

DEFAULT_SECONDS = 60.0
KEPT = 2


class Checkpoints:
    """The checkpoints of one run.

    Args:
        folder: holds nothing else.
        run: the run's id; a checkpoint of another run is refused.

    Raises:
        UserError: `TRACKSTACK_CHECKPOINT_SECONDS`, the time between two checkpoints, is no number.
    """

    def __init__(self, folder: Path, run: str):
        self.folder, self.run = folder, run
        self._seconds = _seconds_between()
        self._last = time.monotonic()

    def due(self) -> bool:
        """Whether it is time for a checkpoint: by the clock, so that they cost the same share of any training."""
        return time.monotonic() - self._last >= self._seconds

    def save(self, step: int, state: dict[str, Any]) -> None:
        """Write a checkpoint, and remove all but the last two. One for which there is no room costs a warning.

        What lies there of later steps was damaged, or this one would have gone on from it.

        Args:
            state: nested dicts, lists and tuples of tensors and JSON values, such as `state_dict()`s.
        """
        tensors: dict[str, Tensor] = {}
        tree = _pack(state, "state", tensors)
        content = {"run": self.run, "step": step, "tree": tree}
        content["digest"] = _digest(content, tensors)
        self._last, path = time.monotonic(), self._path(step)
        try:
            self._write(path, tensors, content)
        except (OSError, SafetensorError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            print(f"warning: {path}: {reason}: the run goes on without this checkpoint", file=sys.stderr)
            return
        kept = [file for file in self._files() if file <= path][:KEPT]
        for other in self._files():
            if other not in kept:
                remove(other)

    def _write(self, path: Path, tensors: dict[str, Tensor], content: dict[str, Any]) -> None:
        partial = path.with_suffix(".partial")
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            save_file(tensors, partial, {METADATA_KEY: json.dumps(content)})
            with partial.open("rb") as file:
                os.fsync(file.fileno())
            partial.replace(path)
        except BaseException:
            partial.unlink(missing_ok=True)
            raise

    def load(self, step: int | None = None) -> tuple[int, dict[str, Any]] | None:
        """Step and state of the newest checkpoint that is whole, or of that step's; None when there is none.

        Raises:
            UserError: it belongs to another run.
        """
        for path in self._files() if step is None else [self._path(step)]:
            try:
                return self._read(path)
            except UserError:
                raise
            except (
                Exception
            ) as error:  # safetensors' own class derives from Exception, and it lets through what torch refuses
                reason = str(error).partition("\n")[0] or type(error).__name__
                print(f"warning: {path}: damaged ({reason}); it is skipped", file=sys.stderr)
        return None

    def remove(self) -> None:
        """Remove them all: the run has finished."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _path(self, step: int) -> Path:
        return self.folder / f"step-{step:09d}.safetensors"

    def _files(self) -> list[Path]:
        """Newest first."""
        return sorted(self.folder.glob("step-*.safetensors"), reverse=True)

    def _read(self, path: Path) -> tuple[int, dict[str, Any]]:
        with safe_open(path, framework="pt") as file:
            content = json.loads(file.metadata()[METADATA_KEY])
            tensors = {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118 (no mapping)
        if content.pop("digest") != _digest(content, tensors):
            raise ValueError("it is not what was written")
        if content["run"] != self.run:
            raise UserError(
                f"{path}: a checkpoint of run {content['run']}, not of {self.run}; remove it and start again"
            )
        return content["step"], _unpack(content["tree"], tensors)


def random_states() -> dict[str, Any]:
    """The states of Python's, NumPy's and torch's global generators, for a loop that draws from them."""
    state: Any = np.random.get_state()
    _, keys, position, has_gauss, cached = state
    return {
        "python": random.getstate(),
        "numpy": [torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Put the generators back into states that `random_states` returned."""
    random.setstate(states["python"])
    keys, *rest = states["numpy"]
    np.random.set_state(("MT19937", keys.numpy().astype(np.uint32), *rest))
    torch.set_rng_state(states["torch"])
    if states["cuda"]:
        torch.cuda.set_rng_state_all(states["cuda"])


def _seconds_between() -> float:
    text = os.environ.get("TRACKSTACK_CHECKPOINT_SECONDS", str(DEFAULT_SECONDS))
    try:
        return float(text)
    except ValueError:
        raise UserError(f"TRACKSTACK_CHECKPOINT_SECONDS is {text!r}; expected a number of seconds") from None


def _digest(content: dict[str, Any], tensors: dict[str, Tensor]) -> str:
    # As bytes, since NumPy knows no bfloat16; as text, since a state may hold NaN.
    of_tensors = digest_arrays({name: tensor.flatten().view(torch.uint8).numpy() for name, tensor in tensors.items()})
    return digest_json([json.dumps(content), of_tensors])


def _pack(value: Any, name: str, tensors: dict[str, Tensor]) -> Any:
    """The value as JSON, in which each container says its kind; its tensors, copied to the CPU, go to `tensors`."""
    if isinstance(value, Tensor):
        tensors[name] = value.detach().to("cpu", copy=True).contiguous()
        return {"tensor": name}
    if isinstance(value, dict):
        return {"dict": [[key, _pack(item, f"{name}.{key}", tensors)] for key, item in value.items()]}
    if isinstance(value, list | tuple):
        items = [_pack(item, f"{name}.{number}", tensors) for number, item in enumerate(value)]
        return {type(value).__name__: items}
    return value


def _unpack(packed: Any, tensors: dict[str, Tensor]) -> Any:
    if not isinstance(packed, dict):
        return packed
    ((kind, content),) = packed.items()
    if kind == "tensor":
        return tensors[content]
    if kind == "dict":
        return {key: _unpack(item, tensors) for key, item in content}
    items = [_unpack(item, tensors) for item in content]
    return tuple(items) if kind == "tuple" else items
