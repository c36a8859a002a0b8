"""Train a model on the tensor cache: the stage around the loop, with its record, its figures and its outputs."""

from __future__ import annotations

import contextlib
import json
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from pipeline.modeling.base import LOSSES, METRICS, MODELS, refuse_loss_of_other_task, tasks_of
from pipeline.modeling.data_record import describe_data
from pipeline.modeling.saved_model import save_model
from pipeline.train.config import TrainingConfig
from pipeline.train.loop import Figures, OnEpoch, Runtime, Trainer
from pipeline.train.params import refuse_without_validation
from pipeline.train.progress import TrainingProgress
from pipeline.windows.cache_files import refuse_damage
from pipeline.windows.dataset import TensorCache, open_cache
from trackstack import UserError
from trackstack.core.code_deps import changes_no_output, imported_sources
from trackstack.core.digest import digest_file, digest_json
from trackstack.core.guard import entered_stage, refuse_undeclared_modules, release_stage_lock
from trackstack.system.stopping import Interrupted, Stop
from trackstack.tracking.environment import home
from trackstack.tracking.run import Run, start_run
from trackstack.training import launch
from trackstack.training.checkpoint import Checkpoints
from trackstack.training.determinism import (
    configure_torch,
    name_nondeterministic_kernels,
    warn_unless_pinned,
)
from trackstack.training.device import choose_device, describe_device, memory_errors_in_a_line
from trackstack.training.distributed import Ranks, join

SRC = Path(__file__).resolve().parents[2]
MODEL_LOADER = "pipeline.modeling.saved_model:load_with_example"
MODEL_EXPORTER = "pipeline.predict.pyfunc:serve_rows"
CURVES = ("val_loss", "val_accuracy", "val_r2")
"""What dvc.yaml draws and not all trainings have: DVC complains of a missing table, and not of an empty one."""
Checkpoint = tuple[int, dict[str, Any]]
"""A step, and the trainer's state after it."""


def train(cache_folder: Path, model_folder: Path, live_folder: Path, config: TrainingConfig) -> None:
    """Train, and write the model folder and DVCLive's folder; an interrupted training continues where it was.

    From the stage, another script or a notebook: equal data, parameters and code are the same run with the same
    weights. Where several processes are to train, it starts them.

    Raises:
        UserError: no cache or a damaged one, a loss for another task, a module that dvc.yaml does not list, no such
            device, too little memory, or a loss that is not finite.
        Interrupted: a stop was asked for.
    """
    cache = open_cache(cache_folder)
    if not launch.is_worker():
        refuse_damage(cache_folder)
    refuse_loss_of_other_task(config.train.loss, cache.task, cache.metadata["dataset"])
    if not cache.metadata["split"]["val"]:
        refuse_without_validation(config.train)
    refuse_undeclared_modules()
    if launch.needs_workers():
        folders = [str(cache_folder), str(model_folder), str(live_folder)]
        job = {"folders": folders, "config": config.as_json(), "stage": entered_stage(), "command": sys.argv}
        release_stage_lock()
        launch.launch(["-m", "pipeline.train.worker", json.dumps(job)])
        return
    if config.train.deterministic:
        warn_unless_pinned()
    with Stop() as stop, join(config.train.batch_size) as ranks:
        configure_torch(config.train.threads, config.train.deterministic, config.train.compile)
        runtime, checkpoints = _runtime(cache, config, ranks, stop)
        try:
            with (
                memory_errors_in_a_line(runtime.device, config.train.batch_size),
                name_nondeterministic_kernels("train.deterministic: false"),
            ):
                if ranks.rank == 0:
                    _train_as_first(cache, config, runtime, checkpoints, model_folder, live_folder)
                else:
                    _trainer(cache, config, runtime, checkpoints, None).fit()
        except Interrupted as interruption:
            if ranks.rank == 0:
                print(f"interrupted: {interruption}; dvc repro goes on from here", file=sys.stderr)
            ranks.wait_for_first()
            raise
        ranks.wait_for_first()


def _train_as_first(
    cache: TensorCache,
    config: TrainingConfig,
    runtime: Runtime,
    checkpoints: Checkpoints,
    model_folder: Path,
    live_folder: Path,
) -> None:
    """The process that keeps the record and writes the outputs."""
    run, device = checkpoints.run, runtime.versions["device"]
    print(f"run {run}: {config.train.model}, {_sizes(cache)}, on {device}", flush=True)
    if cache.task not in (tasks := tasks_of(METRICS, config.train.metric)):
        print(f"metric {config.train.metric} is left out: it is for {' and '.join(tasks)}", flush=True)
    checkpoint = checkpoints.load()
    changes = _changed_versions(checkpoint[1]["versions"], runtime.versions) if checkpoint else None
    start = _start_record(cache, config, runtime, run, changes)
    with start as record, _live(live_folder) as log_live, TrainingProgress() as progress:
        trainer = _trainer(cache, config, runtime, checkpoints, checkpoint)
        earlier_epochs = len(trainer.history)  # before the interruption

        def on_epoch(epoch: int, figures: Figures) -> None:
            is_new = epoch >= earlier_epochs
            (record.log if is_new else record.log_again)(figures, step=epoch)
            record.flush()
            log_live(epoch, figures)
            if is_new:
                progress.epoch(epoch, figures)

        model, kept = trainer.fit(on_epoch, progress.step)
        save_model(model_folder, model, describe(cache, config, run, kept))
        record.log_artifact(model_folder, kind="model", loader=MODEL_LOADER, exporter=MODEL_EXPORTER)
    checkpoints.remove()


def _trainer(
    cache: TensorCache,
    config: TrainingConfig,
    runtime: Runtime,
    checkpoints: Checkpoints,
    checkpoint: Checkpoint | None,
) -> Trainer:
    """Ready to continue from the checkpoint of the first process, in all of them; else to start anew.

    Args:
        checkpoint: None in the other processes, which load the one of the same step.
    """
    step = runtime.ranks.from_first(checkpoint[0] if checkpoint else -1)
    if step >= 0 and checkpoint is None:
        checkpoint = checkpoints.load(step)
        if checkpoint is None:
            raise UserError(f"{checkpoints.folder}: process {runtime.ranks.rank} does not see step {step} in it")
    trainer = Trainer(cache, config, runtime)
    if checkpoint:
        trainer.restore(*checkpoint)
        if runtime.ranks.rank == 0:
            print(f"going on from step {step}, after {len(trainer.history)} epochs", flush=True)
    return trainer


def run_id(cache: TensorCache, config: TrainingConfig) -> str:
    """The name of a run: equal data, parameters and code are the same run."""
    train = config.train
    chosen = [MODELS.module(train.model), LOSSES.module(train.loss), METRICS.module(train.metric)]
    modules = [Path(__file__).resolve(), *(Path(module.__file__ or "").resolve() for module in chosen)]
    files = {file.relative_to(SRC): file for file in imported_sources(modules, SRC)}
    code = {path.as_posix(): digest_file(file) for path, file in files.items() if not changes_no_output(path)}
    return "r" + digest_json([cache.metadata["digest"], config.as_json(), code])[:12]


def describe(cache: TensorCache, config: TrainingConfig, run: str, kept: Figures) -> dict[str, Any]:
    """What `model.json` says beside the weights."""
    predicted = ("task", "targets") if cache.task == "regression" else ("classes",)
    about = ("dataset", "features", *predicted, "group", "series", "sample_rate_hz", "window", "stride")
    data = {key: cache.metadata[key] for key in about}
    if cache.task == "regression":
        data |= {"target_mean": cache.target_mean.tolist(), "target_std": cache.target_std.tolist()}
    sections = {name: section for name, section in config.as_json().items() if name != "models"}
    return {
        "run": run,
        "model": config.train.model,
        "model_params": config.model.model_dump(),
        **sections,
        **data,
        "mean": cache.mean.tolist(),
        "std": cache.std.tolist(),
        "kept": kept,
        "reads": cache.metadata["digest"],
    }


def _runtime(cache: TensorCache, config: TrainingConfig, ranks: Ranks, stop: Stop) -> tuple[Runtime, Checkpoints]:
    run, device = run_id(cache, config), choose_device()
    versions = {"torch": torch.__version__, "device": describe_device(device), "processes": ranks.world}
    checkpoints = Checkpoints(home() / "runs" / run / "checkpoints", run)
    return Runtime(device, ranks, checkpoints, stop, versions), checkpoints


def _changed_versions(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """What is not as it was when the run was interrupted, with a warning; None when all is."""
    changes = [f"{name} {before[name]} -> {value}" for name, value in now.items() if before[name] != value]
    if not changes:
        return None
    print(f"warning: going on under {', '.join(changes)}: the last bits may differ", file=sys.stderr)
    return ", ".join(changes)


def _start_record(
    cache: TensorCache, config: TrainingConfig, runtime: Runtime, run: str, changes: str | None
) -> AbstractContextManager[Run]:
    windows = {name: cache.metadata[name] for name in ("window", "stride")}
    split, train = cache.metadata["split"], config.train
    return start_run(
        f"{train.model}-lr{train.lr:g}-seed{train.seed}",
        {
            "dataset": cache.metadata["dataset"],
            "tensor_cache": windows | {"test": split["test"], "validation": bool(split["val"])},
            **config.as_json(),
        },
        run_id=run,
        stage="train",
        data=describe_data(cache.metadata),
        extra_tags={"model_name": train.model} | ({"moved": changes} if changes else {}),
        device=f"{runtime.versions['device']}, {runtime.versions['processes']} processes",
    )


@contextlib.contextmanager
def _live(folder: Path) -> Iterator[OnEpoch]:
    """DVCLive's writer."""
    from dvclive import Live  # imports DVC: not before it is needed

    # dvcyaml and save_dvc_exp: a stage edits neither dvc.yaml nor makes experiments; that is DVC's part.
    with Live(str(folder), dvcyaml=None, save_dvc_exp=False, report=None) as live:

        def on_epoch(epoch: int, figures: Figures) -> None:
            for name, value in figures.items():
                live.log_metric(name, value)
            live.next_step()

        yield on_epoch
    for name in CURVES:
        table = folder / "plots" / "metrics" / f"{name}.tsv"
        if not table.exists():
            table.write_text(f"step\t{name}\n", encoding="utf-8")


def _sizes(cache: TensorCache) -> str:
    return ", ".join(f"{len(starts):,} {split}" for split, starts in cache.starts.items() if len(starts)) + " windows"
