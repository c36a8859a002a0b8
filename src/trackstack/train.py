"""Train a model on the tensor cache: deterministic, and logged by DVCLive."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from trackstack import UserError
from trackstack.augment import augment
from trackstack.digest import digest_file, digest_json
from trackstack.models import Shape, build_model, model_params
from trackstack.params import Section, TrainParams
from trackstack.saved_model import predict_logits, save_model
from trackstack.sources import imported_sources
from trackstack.tracking.data import describe_data
from trackstack.tracking.run import Run, start_run
from trackstack.windows import TensorCache, WindowDataset, open_cache

OnEpoch = Callable[[int, dict[str, float]], None]
STAGE_SCRIPT = Path("stages/train.py")
MODEL_LOADER = "trackstack.saved_model:load_with_example"
SOURCE_ROOT = Path("src")


def train(
    cache_folder: Path,
    model_folder: Path,
    live_folder: Path,
    params: TrainParams,
    models: dict[str, dict[str, Any]],
) -> None:
    """Train, and write the model folder and DVCLive's folder.

    Args:
        models: the section `models` of `params.yaml`; only the chosen model's part is looked at.

    Raises:
        UserError: an unknown model, parameters it does not take, no cache, or a loss that is not finite.
    """
    own = model_params(params.model, models)
    cache = open_cache(cache_folder)
    run = run_id(cache, params, own)
    print(f"run {run}: {params.model}, {_sizes(cache)}", flush=True)
    with _record(cache, params, own, run) as record, _live(live_folder) as log_live:

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            record.log(metrics, step=epoch)
            record.flush()
            log_live(epoch, metrics)

        model, kept = fit(cache, params, own, on_epoch)
        save_model(model_folder, model, describe(cache, params, own, run, kept))
        record.log_artifact(model_folder, kind="model", loader=MODEL_LOADER)


def run_id(cache: TensorCache, params: TrainParams, own: Section) -> str:
    """The name of a run: equal data, parameters and code are the same run."""
    scripts = [STAGE_SCRIPT, SOURCE_ROOT / "trackstack" / "models" / f"{params.model}.py"]
    code = {file.as_posix(): digest_file(file) for file in imported_sources(scripts, SOURCE_ROOT)}
    parts = [cache.metadata["digest"], params.model_dump(), own.model_dump(), code]
    return "r" + digest_json(parts)[:12]


def fit(cache: TensorCache, params: TrainParams, own: Section, on_epoch: OnEpoch) -> tuple[nn.Module, dict]:
    """Train for all epochs; return the model of the kept epoch and its figures.

    The order of samples, the augmentation and the weights depend on `params.seed` alone.
    """
    make_deterministic(params.seed, params.threads)
    val_windows = WindowDataset(cache, "val")
    model = build_model(params.model, own, shape_of(cache))
    optimizer = torch.optim.AdamW(parameter_groups(model, params.weight_decay), lr=params.lr)
    steps_per_epoch = len(batches(torch.arange(len(cache.starts["train"])), params.batch_size))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, warmup_cosine(params, steps_per_epoch))
    generator = torch.Generator().manual_seed(params.seed)
    kept: dict[str, float] = {}
    kept_weights: dict[str, Tensor] = {}
    for epoch in range(params.epochs):
        lr = schedule.get_last_lr()[0]
        train_loss = train_epoch(model, cache, params, optimizer, schedule, generator)
        metrics = {"train_loss": train_loss, **split_metrics(model, val_windows, "val"), "lr": lr}
        on_epoch(epoch, metrics)
        refuse_infinite(metrics, epoch, lr)
        if params.keep == "last" or not kept or metrics["val_loss"] < kept["val_loss"]:
            kept = {"epoch": epoch, **metrics}
            kept_weights = copy.deepcopy(model.state_dict())
    model.load_state_dict(kept_weights)
    return model, kept


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weight decay for matrices and kernels, none for biases and norms, which it would only hold back."""
    return [
        {"params": [p for p in model.parameters() if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in model.parameters() if p.ndim <= 1], "weight_decay": 0.0},
    ]


def train_epoch(
    model: nn.Module,
    cache: TensorCache,
    params: TrainParams,
    optimizer: torch.optim.Optimizer,
    schedule: torch.optim.lr_scheduler.LRScheduler,
    generator: torch.Generator,
) -> float:
    """One pass over all training windows in a random order; the mean loss per window."""
    model.train()
    windows = WindowDataset(cache, "train")
    total = torch.zeros(())
    for index_B in batches(torch.randperm(len(windows), generator=generator), params.batch_size):
        windows_BLC, labels_B = windows.batch(index_B)
        logits_BK = model(augment(windows_BLC, cache, params.augment, generator))
        loss = nn.functional.cross_entropy(logits_BK, labels_B, label_smoothing=params.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        total += loss.detach() * len(index_B)
    return total.item() / len(windows)


def batches(order_W: Tensor, batch_size: int) -> list[Tensor]:
    """Cut an order of windows into batches; a rest of one joins the batch before, since batch norm needs two."""
    parts = list(order_W.split(batch_size))
    if len(parts) > 1 and len(parts[-1]) == 1:
        parts[-2:] = [torch.cat(parts[-2:])]
    return parts


def refuse_infinite(metrics: dict[str, float], epoch: int, lr: float) -> None:
    """UserError when training has diverged."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            raise UserError(
                f"params.yaml: the {name} of epoch {epoch} is {value}, at a learning rate of {lr:.3g}; "
                "lower train.lr, or look at train.weight_decay and train.augment"
            )


def split_metrics(model: nn.Module, windows: WindowDataset, split: str) -> dict[str, float]:
    """Cross-entropy and accuracy over a split, named `val_loss`, `val_accuracy`, ..."""
    logits_WK, labels_W = predict_logits(model, windows)
    loss = nn.functional.cross_entropy(logits_WK, labels_W).item()
    accuracy = (logits_WK.argmax(1) == labels_W).double().mean().item()
    return {f"{split}_loss": loss, f"{split}_accuracy": accuracy}


def warmup_cosine(params: TrainParams, steps_per_epoch: int) -> Callable[[int], float]:
    """Factor of the peak learning rate at a step: a linear rise, then half a cosine down to 0."""
    total = params.epochs * steps_per_epoch
    rise = round(params.warmup * total)

    def factor(step: int) -> float:
        if step < rise:
            return (step + 1) / rise
        return 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, total - rise)))

    return factor


def make_deterministic(seed: int, threads: int) -> None:
    """Fix what decides the bits of a result: the seed, the number of threads, deterministic kernels."""
    torch.manual_seed(seed)
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)


def shape_of(cache: TensorCache) -> Shape:
    """The ends of a model for this data."""
    return Shape(cache.signal.shape[1], cache.metadata["window"], len(cache.metadata["classes"]))


def describe(cache: TensorCache, params: TrainParams, own: Section, run: str, kept: dict) -> dict[str, Any]:
    """What `model.json` says beside the weights."""
    data = {key: cache.metadata[key] for key in ("dataset", "features", "classes", "sample_rate_hz", "window")}
    return {
        "run": run,
        "model": params.model,
        "model_params": own.model_dump(),
        "train": params.model_dump(),
        **data,
        "mean": cache.mean.tolist(),
        "std": cache.std.tolist(),
        "kept": kept,
        "reads": cache.metadata["digest"],
    }


def _record(cache: TensorCache, params: TrainParams, own: Section, run: str) -> AbstractContextManager[Run]:
    settings = {"window": cache.metadata["window"], "stride": cache.metadata["stride"]}
    return start_run(
        f"{params.model}-lr{params.lr:g}-seed{params.seed}",
        {
            "dataset": cache.metadata["dataset"],
            "tensor_cache": settings | {"test": cache.metadata["split"]["test"]},
            "train": params.model_dump(),
            "models": {params.model: own.model_dump()},
        },
        run_id=run,
        stage="train",
        data=describe_data(cache.metadata),
        extra_tags={"model_name": params.model},
    )


@contextlib.contextmanager
def _live(folder: Path) -> Iterator[OnEpoch]:
    """DVCLive's writer, and one line per epoch on stdout."""
    from dvclive import Live  # imports DVC: not before it is needed

    # dvcyaml and save_dvc_exp: a stage edits neither dvc.yaml nor makes experiments; that is DVC's part.
    with Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None) as live:

        def on_epoch(epoch: int, metrics: dict[str, float]) -> None:
            for name, value in metrics.items():
                live.log_metric(name, value)
            live.next_step()
            figures = "  ".join(f"{name} {value:.4f}" for name, value in metrics.items() if name != "lr")
            print(f"epoch {epoch:3d}  {figures}", flush=True)

        yield on_epoch


def _sizes(cache: TensorCache) -> str:
    return ", ".join(f"{len(starts):,} {split}" for split, starts in cache.starts.items()) + " windows"
