"""Train a model on the tensor cache: the stage around the loop, with its record, its figures and its outputs."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import torch

from trackstack import UserError, launch
from trackstack.checkpoint import Checkpoints
from trackstack.device import choose_device, describe_device, make_deterministic, memory_errors_in_a_line
from trackstack.digest import digest_file, digest_json
from trackstack.distributed import Ranks, join
from trackstack.loop import Figures, OnEpoch, Recipe, Surroundings, Trainer
from trackstack.params import TrainParams
from trackstack.progress import TrainingProgress
from trackstack.saved_model import save_model
from trackstack.sources import imported_sources
from trackstack.stage import leave_it_to_another
from trackstack.stopping import Interrupted, Stop
from trackstack.tracking.data import describe_data
from trackstack.tracking.environment import home
from trackstack.tracking.run import Run, start_run
from trackstack.windows import TensorCache, open_cache

STAGE_SCRIPT = Path("stages/train.py")
MODEL_LOADER = "trackstack.saved_model:load_with_example"
SOURCE_ROOT = Path("src")

Sections = dict[str, dict[str, Any]]


def train(
    cache_folder: Path,
    model_folder: Path,
    live_folder: Path,
    params: TrainParams,
    models: Sections,
    losses: Sections,
    metrics: Sections,
) -> None:
    """Train, and write the model folder and DVCLive's folder; an interrupted training goes on where it was.

    Args:
        models: the section `models` of `params.yaml`; only the chosen model's part is looked at. Likewise `losses`
            and `metrics`.

    Raises:
        UserError: an unknown choice, parameters it does not take, no cache, no such device, too little memory, or a
            loss that is not finite.
        Interrupted: a stop was asked for.
    """
    recipe = Recipe.choose(params, models, losses, metrics)
    cache = open_cache(cache_folder)
    if launch.several():
        leave_it_to_another()
        launch.launch(sys.argv)
        return
    with launch.one_of_several(), Stop() as stop, join(params.batch_size) as ranks:
        make_deterministic(params.threads, params.compile)
        where = _surroundings(cache, recipe, ranks, stop)
        try:
            with memory_errors_in_a_line(where.device, params.batch_size):
                if ranks.rank == 0:
                    _train_as_first(cache, recipe, where, model_folder, live_folder)
                else:
                    _trainer(cache, recipe, where, None).fit()
        except Interrupted as stop_reason:
            if ranks.rank == 0:
                print(f"interrupted: {stop_reason}; dvc repro goes on from here", file=sys.stderr)
            ranks.wait_for_first()
            raise
        ranks.wait_for_first()


def _train_as_first(
    cache: TensorCache, recipe: Recipe, where: Surroundings, model_folder: Path, live_folder: Path
) -> None:
    """The process that keeps the record and writes the outputs."""
    run = where.checkpoints.run
    print(f"run {run}: {recipe.train.model}, {_sizes(cache)}, on {where.under['device']}", flush=True)
    found = where.checkpoints.load()
    moved = _moved(found[1]["under"], where.under) if found else None
    record, live, progress = _record(cache, recipe, where, moved), _live(live_folder), TrainingProgress()
    with record as record, live as log_live, progress:
        trainer = _trainer(cache, recipe, where, found)
        known = len(trainer.history)  # was printed before the interruption

        def on_epoch(epoch: int, figures: Figures) -> None:
            record.log(figures, step=epoch)
            record.flush()
            log_live(epoch, figures)
            if epoch >= known:
                progress.epoch(epoch, figures)

        model, kept = trainer.fit(on_epoch, progress.step)
        save_model(model_folder, model, describe(cache, recipe, run, kept))
        record.log_artifact(model_folder, kind="model", loader=MODEL_LOADER)
    where.checkpoints.remove()


def _trainer(
    cache: TensorCache, recipe: Recipe, where: Surroundings, found: tuple[int, dict[str, Any]] | None
) -> Trainer:
    """Ready to go on from what the first process found, in all of them; else to start anew."""
    step = where.ranks.from_first(found[0] if found else -1)
    if step >= 0 and found is None:
        found = where.checkpoints.load(step)
        if found is None:
            raise UserError(f"{where.checkpoints.folder}: process {where.ranks.rank} does not see step {step} in it")
    trainer = Trainer(cache, recipe, where)
    if found:
        trainer.restore(*found)
        if where.ranks.rank == 0:
            print(f"going on from step {step}, after {len(trainer.history)} epochs", flush=True)
    return trainer


def run_id(cache: TensorCache, recipe: Recipe) -> str:
    """The name of a run: equal data, parameters and code are the same run."""
    package, train = SOURCE_ROOT / "trackstack", recipe.train
    chosen = [package / "models" / train.model, package / "losses" / train.loss, package / "metrics" / train.metric]
    scripts = [STAGE_SCRIPT, *(path.with_suffix(".py") for path in chosen)]
    code = {file.as_posix(): digest_file(file) for file in imported_sources(scripts, SOURCE_ROOT)}
    return "r" + digest_json([cache.metadata["digest"], recipe.as_json(), code])[:12]


def describe(cache: TensorCache, recipe: Recipe, run: str, kept: Figures) -> dict[str, Any]:
    """What `model.json` says beside the weights."""
    about = ("dataset", "features", "classes", "group", "series", "sample_rate_hz", "window", "stride")
    data = {key: cache.metadata[key] for key in about}
    sections = {name: section for name, section in recipe.as_json().items() if name != "models"}
    return {
        "run": run,
        "model": recipe.train.model,
        "model_params": recipe.model.model_dump(),
        **sections,
        **data,
        "mean": cache.mean.tolist(),
        "std": cache.std.tolist(),
        "kept": kept,
        "reads": cache.metadata["digest"],
    }


def _surroundings(cache: TensorCache, recipe: Recipe, ranks: Ranks, stop: Stop) -> Surroundings:
    run, device = run_id(cache, recipe), choose_device()
    under = {"torch": torch.__version__, "device": describe_device(device), "processes": ranks.world}
    return Surroundings(device, ranks, Checkpoints(home() / "runs" / run / "checkpoints", run), stop, under)


def _moved(before: dict[str, Any], now: dict[str, Any]) -> str | None:
    """A word on what is not as it was when the run was interrupted; None when all is."""
    changes = [f"{name} {before[name]} -> {value}" for name, value in now.items() if before[name] != value]
    if not changes:
        return None
    print(f"warning: going on under {', '.join(changes)}: the last bits may differ", file=sys.stderr)
    return ", ".join(changes)


def _record(
    cache: TensorCache, recipe: Recipe, where: Surroundings, moved: str | None
) -> AbstractContextManager[Run]:
    settings = {name: cache.metadata[name] for name in ("window", "stride")}
    split = cache.metadata["split"]
    train, run = recipe.train, where.checkpoints.run
    return start_run(
        f"{train.model}-lr{train.lr:g}-seed{train.seed}",
        {
            "dataset": cache.metadata["dataset"],
            "tensor_cache": settings | {"test": split["test"], "validation": bool(split["val"])},
            **recipe.as_json(),
        },
        run_id=run,
        stage="train",
        data=describe_data(cache.metadata),
        extra_tags={"model_name": train.model} | ({"moved": moved} if moved else {}),
        device=f"{where.under['device']}, {where.under['processes']} processes",
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


def _sizes(cache: TensorCache) -> str:
    return ", ".join(f"{len(starts):,} {split}" for split, starts in cache.starts.items() if len(starts)) + " windows"
