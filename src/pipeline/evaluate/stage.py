"""Metrics and plots of the trained model on the test split: groups that it never saw."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from pipeline.evaluate.baselines import baselines
from pipeline.evaluate.figures import Evaluation, measure
from pipeline.evaluate.params import Params
from pipeline.evaluate.regression import measure_amounts
from pipeline.evaluate.report import write_report
from pipeline.evaluate.tables import write_tables
from pipeline.modeling.data_record import describe_data
from pipeline.modeling.saved_model import load_model, predict_windows
from pipeline.windows.cache_files import refuse_damage
from pipeline.windows.dataset import TensorCache, WindowDataset, open_cache
from trackstack import UserError
from trackstack.core.files import new_folder, read_json, write_json
from trackstack.tracking.environment import home
from trackstack.tracking.run import start_run
from trackstack.tracking.series import series_of_model
from trackstack.training.determinism import configure_torch
from trackstack.training.device import choose_device, describe_device


def evaluate(
    cache_folder: Path,
    model_folder: Path,
    live: Path,
    profile: Path,
    out: Path,
    params: Params,
    split: str = "test",
) -> None:
    """Write `metrics.json`, tables of predictions, classes or targets, groups and more, and `report.html` into `out`.

    The figures are also recorded in the run that trained the model.

    Args:
        live: DVCLive's folder: the report shows its curves.
        profile: the accepted rows' `profile.json`: the report shows it.

    Raises:
        UserError: no model, no cache, or a model that was trained on another cache.
    """
    cache = open_cache(cache_folder)
    refuse_damage(cache_folder)
    model, description = load_model(model_folder)
    configure_torch(params.threads, description["train"]["deterministic"])
    device = choose_device()
    if description["reads"] != cache.metadata["digest"]:
        raise UserError(f"{model_folder}: was trained on another tensor cache than {cache_folder}; type: dvc repro")
    with start_run(
        f"evaluate-{description['run']}",
        {"evaluate": params.model_dump()},
        run_id=description["run"],
        stage="evaluate",
        series=series_of_model(home() / "runs" / description["run"], model_folder),
        data=describe_data(cache.metadata),
        extra_tags={"model_name": description["model"]},
        device=describe_device(device),
    ) as record:
        about = {
            "live": live,
            "profile": read_json(profile, f"type: trackstack repair {profile.parent} && dvc repro --force parquet"),
        }
        evaluation = _measure(cache, split, model, description, params, device, about)
        metrics = {f"{split}_{name}": value for name, value in evaluation.metrics.items()}
        with new_folder(out) as folder:
            write_json(folder / "metrics.json", metrics)
            write_tables(folder, evaluation)
            write_report(folder / "report.html", evaluation)
        record.log(metrics, step=description["kept"]["epoch"])
        # Of a plot with this name TensorBoard gets a confusion matrix.
        record.log_artifact(out / "predictions.csv", kind="file" if cache.task == "regression" else "plot")
        record.log_artifact(out / "per_group.csv", kind="plot")
        record.log_artifact(out / "report.html", kind="report")
    figures = metrics | {baseline.name: baseline.first for baseline in evaluation.beside}
    for name, value in figures.items():
        print(f"{name:26s} {value:,}" if isinstance(value, int) else f"{name:26s} {value:.4f}")


def _measure(
    cache: TensorCache,
    split: str,
    model: nn.Module,
    description: dict[str, Any],
    params: Params,
    device: torch.device,
    about: dict[str, Any],
) -> Evaluation:
    """All figures of a split; `about` is what the report shows beside them."""
    windows = WindowDataset(cache, split)
    beside = baselines(WindowDataset(cache, "train"), windows, cache.task) if params.baselines else []
    predicted = predict_windows(model, description, windows, device)
    measure_task = measure_amounts if cache.task == "regression" else measure
    return measure_task(windows, predicted, params, split=split, model=description, beside=beside, **about)
