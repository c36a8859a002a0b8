"""Metrics and plots of the trained model on the test split: groups that it never saw."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import accuracy_score, f1_score, log_loss, precision_recall_fscore_support

from trackstack import UserError
from trackstack.device import choose_device, describe_device, make_deterministic
from trackstack.outputs import new_folder, write_json
from trackstack.params import EvaluateParams
from trackstack.report import Evaluated, write_report
from trackstack.saved_model import classify_windows, load_model
from trackstack.tracking.data import describe_data
from trackstack.tracking.run import series_of_model, start_run
from trackstack.windows import WindowDataset, open_cache


def evaluate(
    cache_folder: Path,
    model_folder: Path,
    live: Path,
    profile: Path,
    out: Path,
    params: EvaluateParams,
    split: str = "test",
) -> None:
    """Write `metrics.json`, tables of predictions, classes, groups and calibration, and `report.html` into `out`.

    The figures are also recorded in the run that trained the model.

    Args:
        live: DVCLive's folder: the report shows its curves.
        profile: the accepted rows' `profile.json`: the report shows it.

    Raises:
        UserError: no model, no cache, or a model that was trained on another cache.
    """
    make_deterministic(params.threads)
    device = choose_device()
    cache = open_cache(cache_folder)
    model, description = load_model(model_folder)
    if description["reads"] != cache.metadata["digest"]:
        raise UserError(f"{model_folder}: was trained on another tensor cache than {cache_folder}; type: dvc repro")
    with start_run(
        f"evaluate-{description['run']}",
        {"evaluate": params.model_dump()},
        run_id=description["run"],
        stage="evaluate",
        series=series_of_model(description["run"], model_folder),
        data=describe_data(cache.metadata),
        extra_tags={"model_name": description["model"]},
        device=describe_device(device),
    ) as record:
        windows = WindowDataset(cache, split)
        probs_WK = classify_windows(model, description, windows, device)
        found = measure(
            windows,
            probs_WK,
            params,
            split=split,
            model=description,
            live=live,
            profile=json.loads(profile.read_text(encoding="utf-8")),
        )
        metrics = {f"{split}_{name}": value for name, value in found.metrics.items()}
        with new_folder(out) as folder:
            write_json(folder / "metrics.json", metrics)
            _write_tables(folder, found)
            write_report(folder / "report.html", found)
        record.log(metrics, step=description["kept"]["epoch"])
        for table in ("predictions.csv", "per_group.csv"):
            record.log_artifact(out / table, kind="plot")
        record.log_artifact(out / "report.html", kind="report")
    for name, value in metrics.items():
        print(f"{name:26s} {value:,}" if isinstance(value, int) else f"{name:26s} {value:.4f}")


def measure(windows: WindowDataset, probs_WK: np.ndarray, params: EvaluateParams, **about: Any) -> Evaluated:
    """All figures, once, for tables and report; `about` is what the report shows beside them."""
    actual_W, predicted_W = windows.labels().numpy(), probs_WK.argmax(1)
    bins = calibration(actual_W, probs_WK, params.calibration_bins)
    return Evaluated(
        metrics=summarise(actual_W, probs_WK, bins),
        windows=windows,
        actual_W=actual_W,
        probs_WK=probs_WK,
        per_class=per_class(actual_W, predicted_W, np.array(windows.cache.metadata["classes"])),
        per_group=per_group(windows.groups(), actual_W == predicted_W),
        calibration=bins,
        params=params.model_dump(),
        **about,
    )


def _write_tables(folder: Path, found: Evaluated) -> None:
    classes, probs_WK = np.array(found.windows.cache.metadata["classes"]), found.probs_WK
    starts, confidence_W = found.windows.starts.tolist(), (f"{confidence:.6f}" for confidence in probs_WK.max(1))
    rows = zip(starts, classes[found.actual_W], classes[probs_WK.argmax(1)], confidence_W, strict=True)
    _write_csv(folder / "predictions.csv", ["row", "actual", "predicted", "confidence"], rows)
    _write_csv(folder / "per_class.csv", ["class", "precision", "recall", "f1", "windows"], found.per_class)
    _write_csv(folder / "per_group.csv", ["group", "accuracy", "windows"], found.per_group)
    _write_csv(folder / "calibration.csv", ["confidence", "accuracy", "windows"], found.calibration)


def summarise(actual_W: np.ndarray, probs_WK: np.ndarray, bins: list[tuple]) -> dict[str, float]:
    """The figures for a model as a whole: accuracy, macro F1, cross-entropy, expected calibration error.

    Args:
        bins: see `calibration`.
    """
    numbers = np.arange(probs_WK.shape[1])
    predicted_W = probs_WK.argmax(1)
    error = sum(abs(confidence - accuracy) * count for confidence, accuracy, count in bins) / len(actual_W)
    return {
        "accuracy": float(accuracy_score(actual_W, predicted_W)),
        "macro_f1": float(f1_score(actual_W, predicted_W, labels=numbers, average="macro", zero_division=0)),
        "loss": float(log_loss(actual_W, probs_WK, labels=numbers)),
        "calibration_error": float(error),
        "windows": len(actual_W),
    }


def per_class(actual_W: np.ndarray, predicted_W: np.ndarray, classes: np.ndarray) -> list[tuple]:
    """Rows of name, precision, recall, F1 and number of windows; 0 where a figure is undefined."""
    figures = precision_recall_fscore_support(actual_W, predicted_W, labels=np.arange(len(classes)), zero_division=0)
    return [
        (name, *row) for name, *row in zip(classes.tolist(), *(column.tolist() for column in figures), strict=True)
    ]


def per_group(groups: list, correct_W: np.ndarray) -> list[tuple]:
    """Rows of name, accuracy and number of windows, in the order of the names."""
    names, group_W, counts = np.unique(np.array(groups), return_inverse=True, return_counts=True)
    accuracy = np.bincount(group_W, weights=correct_W) / counts
    return list(zip(names.tolist(), accuracy.tolist(), counts.tolist(), strict=True))


def calibration(actual_W: np.ndarray, probs_WK: np.ndarray, num_bins: int) -> list[tuple[float, float, int]]:
    """Mean confidence, accuracy and size of equally wide bins of confidence, empty ones left out.

    Their weighted mean difference is the expected calibration error (Guo et al. 2017, arXiv 1706.04599).
    """
    confidence_W = probs_WK.max(1)
    correct_W = probs_WK.argmax(1) == actual_W
    bin_W = np.minimum((confidence_W * num_bins).astype(int), num_bins - 1)
    members = [bin_W == number for number in range(num_bins)]
    return [
        (float(confidence_W[inside].mean()), float(correct_W[inside].mean()), int(inside.sum()))
        for inside in members
        if inside.any()
    ]


def _write_csv(path: Path, header: list[str], rows: Iterable[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
