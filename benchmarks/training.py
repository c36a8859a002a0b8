"""What loading, precision, checkpoints and going on cost a training, on the device that is there.

    python benchmarks/training.py                    (TRACKSTACK_DEVICE=cpu where a GPU should not be taken)

Figures, each a ratio within this run:
* loader: an epoch of the default data without the model, against a `DataLoader` over `__getitem__`;
* loading: steps per second of an epoch as it is, against the same loop on one batch that lies on the device already;
* precision: steps per second in bf16 against float32;
* checkpoints: the time of writing one, as a share of the 60 s between two.
And one check: a training that is stopped in mid-epoch and resumed ends with the weights and figures of one that
was not.
"""

from __future__ import annotations

import contextlib
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "src"))

from trackstack.training.determinism import configure_torch, pin_environment

pin_environment()

import torch
from torch.utils.data import DataLoader, Dataset

from pipeline.contract.catalog import fill_from_dataset
from pipeline.train.config import TrainingConfig
from pipeline.train.loader import load
from pipeline.train.loop import Runtime, Trainer
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack.core.params import Parameters
from trackstack.system.stopping import Interrupted
from trackstack.training.checkpoint import DEFAULT_SECONDS, Checkpoints
from trackstack.training.device import choose_device, describe_device

ROUNDS = 5


def trainer(
    device: torch.device, checkpoints: Checkpoints | None = None, stop: StopAfter | None = None, **changes: object
) -> Trainer:
    """A training of params.yaml's model on the pipeline's cache."""
    params = Parameters.load(ROOT / "params.yaml")
    with contextlib.chdir(ROOT):
        fill_from_dataset(params)
    params.values["train"] |= {"epochs": 1000, **changes}
    config = TrainingConfig.choose(params)
    configure_torch(config.train.threads)
    runtime = Runtime(device, checkpoints=checkpoints, stop=stop)
    return Trainer(open_cache(ROOT / "data/cache"), config, runtime)


def seconds(work: Callable[[], object], device: torch.device) -> float:
    """Of a function, the device's part included."""
    began = time.perf_counter()
    work()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - began


def compare_loaders(device: torch.device, batch_size: int) -> None:
    """Alternate our loader and an ordinary one over the training windows."""
    training = trainer(device)
    plain = WindowDataset(open_cache(ROOT / "data/cache"), "train")
    count = len(plain)

    def ours() -> None:
        order_W = torch.randperm(count).to(training.windows["train"].starts.device)
        for _ in load(training.windows["train"], order_W.split(batch_size), device):
            pass

    def ordinary() -> None:
        for windows_BLC, labels_B in DataLoader(Rows(plain), batch_size, shuffle=True):
            windows_BLC.to(device), labels_B.to(device)

    ours()
    both = [(seconds(ours, device), seconds(ordinary, device)) for _ in range(ROUNDS)]
    ratio = statistics.median(theirs / own for own, theirs in both)
    own = statistics.median(own for own, _ in both)
    print(f"loader, batch {batch_size:4d}: {1000 * own:7.1f} ms per epoch, {ratio:.1f} times as fast as a DataLoader")


class Rows(Dataset):
    """Windows one by one, as the guide's dataset gives them: without the batched `__getitems__`."""

    def __init__(self, windows: WindowDataset):
        self._windows = windows

    def __len__(self) -> int:
        return len(self._windows)

    def __getitem__(self, index: int) -> tuple[torch.Tensor, torch.Tensor]:
        return self._windows[index]


def epoch_as_it_is(training: Trainer) -> None:
    """Shuffled, gathered, augmented and trained."""
    training.train_epoch()
    training.step = 0


def epoch_on_one_batch(training: Trainer) -> None:
    """As many steps on windows that lie on the device."""
    size, windows, device = training.params.batch_size, training.windows["train"], training.runtime.device
    windows_BLC, labels_B = windows.batch(torch.arange(size, device=windows.starts.device))
    windows_BLC, labels_B = windows_BLC.to(device), labels_B.to(device)
    training.model.train()
    for _ in range(training.steps_per_epoch):
        training.train_step(windows_BLC, labels_B, size)
    training.step = 0


def compare_loading(device: torch.device, batch_size: int) -> None:
    """Alternate both kinds of epoch."""
    training = trainer(device, batch_size=batch_size)
    epoch_as_it_is(training)  # kernels are chosen and memory is taken in the first
    real, resident = [], []
    for _ in range(ROUNDS):
        real.append(seconds(lambda: epoch_as_it_is(training), device))
        resident.append(seconds(lambda: epoch_on_one_batch(training), device))
    ratio = statistics.median(r / e for e, r in zip(real, resident, strict=True))
    rate = training.steps_per_epoch / statistics.median(real)
    print(f"loading, batch {batch_size:4d}: {rate:8.1f} steps/s, {ratio:.3f} of one resident batch")


def compare_precision(device: torch.device, batch_size: int) -> None:
    """Alternate float32 and bf16."""
    both = [trainer(device, batch_size=batch_size, precision=precision) for precision in ("float32", "bf16")]
    times: list[list[float]] = [[], []]
    for training in both:
        epoch_as_it_is(training)
    for _ in range(ROUNDS):
        for training, spent in zip(both, times, strict=True):
            spent.append(seconds(lambda training=training: epoch_as_it_is(training), device))
    ratio = statistics.median(wide / half for wide, half in zip(*times, strict=True))
    print(f"precision, batch {batch_size:4d}: bf16 takes {ratio:.2f} times as many steps per second as float32")


def checkpoint_share(device: torch.device) -> None:
    """The median time of a checkpoint, for the default model."""
    training = trainer(device)
    epoch_as_it_is(training)
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "r0")
        spent = [seconds(lambda n=n: checkpoints.save(n, training.state()), device) for n in range(1, 21)]
        size = max(file.stat().st_size for file in Path(folder).iterdir()) / 2**20
    median = statistics.median(spent)
    print(f"checkpoint: {1000 * median:.1f} ms for {size:.1f} MB, {median / DEFAULT_SECONDS:.3%} of the training")


class StopAfter:
    """Asks for a stop at the n-th look, as `trackstack.system.stopping.Stop` does for its reasons."""

    def __init__(self, looks: int):
        self._looks = looks

    def reason(self) -> str | None:
        """None until then."""
        self._looks -= 1
        return "enough" if self._looks < 0 else None


def going_on_is_exact(device: torch.device) -> bool:
    """Train two epochs at once, and with a break in the middle of the second."""
    whole = trainer(device, epochs=2)
    whole.fit()
    with tempfile.TemporaryDirectory() as folder:
        checkpoints = Checkpoints(Path(folder), "r0")
        stop = StopAfter(whole.steps_per_epoch * 3 // 2)
        with contextlib.suppress(Interrupted):
            trainer(device, checkpoints=checkpoints, stop=stop, epochs=2).fit()
        second = trainer(device, epochs=2)
        second.restore(*checkpoints.load())
    broke_at = second.step
    second.fit()
    weights = second.model.state_dict()
    same = second.history == whole.history and all(
        torch.equal(value, weights[name]) for name, value in whole.model.state_dict().items()
    )
    verdict = "the same weights and figures" if same else "OTHER WEIGHTS OR FIGURES"
    print(f"stopped at step {broke_at} of {whole.step} and resumed: {verdict}")
    return same


def main() -> None:
    """Print a line per figure; exit code 1 when going on changes a bit."""
    device = choose_device()
    cores = len(os.sched_getaffinity(0))
    print(f"{describe_device(device)}, {cores} cores, torch {torch.__version__}, Python {platform.python_version()}")
    for batch_size in (64, 512):
        compare_loaders(device, batch_size)
        compare_loading(device, batch_size)
        compare_precision(device, batch_size)
    checkpoint_share(device)
    sys.exit(not going_on_is_exact(device))


if __name__ == "__main__":
    main()
