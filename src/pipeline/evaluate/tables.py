"""The tables of an evaluation, and those that `dvc plots show` draws."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from pipeline.evaluate.figures import Classification, Evaluation
from pipeline.evaluate.regression import Regression

PLOTS = {
    "confusion": ["actual", "predicted"],
    "f1": ["class", "f1"],
    "calibration": ["confidence", "accuracy"],
    "amounts": ["actual", "predicted", "residual"],
}
"""The tables in the folder `plots`, for dvc.yaml. DVC complains of a missing table and draws nothing of an empty one:
so those of the other task have a header and no row."""
MOST_POINTS = 5000
Table = tuple[list[str], Iterable[tuple]]


def write_tables(folder: Path, evaluation: Evaluation) -> None:
    """Write all tables of an evaluation into a folder."""
    if isinstance(evaluation, Classification):
        tables, plots = _of_classes(evaluation)
    else:
        assert isinstance(evaluation, Regression)
        tables, plots = _of_amounts(evaluation)
    figures = ["accuracy", "macro_f1"] if isinstance(evaluation, Classification) else ["r2", "mae"]
    tables["baselines"] = (["baseline", *figures, "windows"], evaluation.beside)
    for name, (header, rows) in tables.items():
        _write_csv(folder / f"{name}.csv", header, rows)
    (folder / "plots").mkdir()
    for name, header in PLOTS.items():
        _write_csv(folder / "plots" / f"{name}.csv", header, plots.get(name, []))


def _of_classes(evaluation: Classification) -> tuple[dict[str, Table], dict[str, Iterable[tuple]]]:
    classes, probs_WK = np.array(evaluation.windows.cache.metadata["classes"]), evaluation.probs_WK
    starts, confidence_W = evaluation.windows.starts.tolist(), (f"{confidence:.6f}" for confidence in probs_WK.max(1))
    actual_W, predicted_W = classes[evaluation.actual_W], classes[probs_WK.argmax(1)]
    rows = zip(starts, actual_W, predicted_W, confidence_W, strict=True)
    tables: dict[str, Table] = {
        "predictions": (["row", "actual", "predicted", "confidence"], rows),
        "per_class": (["class", "precision", "recall", "f1", "windows"], evaluation.per_class),
        "per_group": (["group", "accuracy", "windows"], evaluation.per_group),
        "calibration": (["confidence", "accuracy", "windows"], evaluation.calibration),
    }
    return tables, {
        "confusion": zip(actual_W, predicted_W, strict=True),
        "f1": [(name, f1) for name, _, _, f1, _ in evaluation.per_class],
        "calibration": [row[:2] for row in evaluation.calibration],
    }


def _of_amounts(evaluation: Regression) -> tuple[dict[str, Table], dict[str, Iterable[tuple]]]:
    """Of several targets, each has its columns; the plots are those of the first."""
    names = [name for name, *_ in evaluation.per_target]
    ends = [f"_{name}" for name in names] if len(names) > 1 else [""]
    header = ["row", *(f"{what}{end}" for end in ends for what in ("actual", "predicted"))]
    pairs_WK2 = np.stack([evaluation.actual_WK, evaluation.predicted_WK], axis=2).astype(np.float32)
    # As float32, in which models compute, an amount is written as it was measured: 2.4 and not 2.400000095.
    shown = pairs_WK2.reshape(len(pairs_WK2), -1).astype(str).tolist()
    rows = ((start, *values) for start, values in zip(evaluation.windows.starts.tolist(), shown, strict=True))
    tables: dict[str, Table] = {
        "predictions": (header, rows),
        "per_group": (["group", "mae", "windows"], evaluation.per_group),
    }
    if len(names) > 1:
        tables["per_target"] = (["target", "unit", "mae", "rmse", "r2"], evaluation.per_target)
    first_W2 = pairs_WK2[:: math.ceil(len(pairs_WK2) / MOST_POINTS), 0].tolist()
    return tables, {"amounts": [(actual, predicted, predicted - actual) for actual, predicted in first_W2]}


def _write_csv(path: Path, header: list[str], rows: Iterable[tuple]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)
