"""The report of an evaluation: one HTML file that needs nothing else, with the same bytes for the same results."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.evaluate import amount_drawings, drawings
from pipeline.evaluate.figures import Classification, Evaluation, wilson
from pipeline.evaluate.regression import Regression
from pipeline.windows.layout import SPLITS

TEMPLATE = Path(__file__).with_suffix(".html")
MOST_FEATURES, MOST_NAMES = 50, 30
"""Features and groups in a table: what keeps the file small."""


def write_report(path: Path, evaluation: Evaluation) -> None:
    """Write the report. It shows no time, host or place: equal results have equal bytes."""
    import jinja2

    environment = jinja2.Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True)
    with drawings.own_style():
        content = environment.from_string(TEMPLATE.read_text(encoding="utf-8")).render(_content(evaluation))
    path.write_text(content + "\n", encoding="utf-8")


def _content(evaluation: Evaluation) -> dict[str, Any]:
    """What the template shows."""
    if isinstance(evaluation, Classification):
        found = _of_classes(evaluation)
    else:
        assert isinstance(evaluation, Regression)
        found = _of_amounts(evaluation)
    cache, model, profile = evaluation.windows.cache.metadata, evaluation.model, evaluation.profile
    return found | {
        "split": evaluation.split,
        "what": "windows" if cache["window"] > 1 else "rows",
        "run": model["run"],
        "model": model["model"],
        "dataset": model["dataset"],
        "metrics": evaluation.metrics,
        "beside": evaluation.beside,
        "group": drawings.group_word(cache),
        "splits": {name: cache["split"][name] for name in SPLITS},
        "curves": drawings.curves(evaluation.live),
        "features": list(profile["columns"].items())[:MOST_FEATURES],
        "num_features": len(profile["columns"]),
        "boxes": drawings.boxes(profile["columns"]),
        "rows": profile["rows"],
        "params": list(_flat(_parameters(evaluation))),
        "lineage": [
            ("raw files (manifest)", cache["digests"]["ingest"]),
            ("Parquet", cache["digests"]["parquet"]),
            ("tensor cache", cache["digest"]),
            ("model weights", model["digest"]),
            ("run", model["run"]),
        ],
        "most": MOST_NAMES,
    }


def _of_classes(evaluation: Classification) -> dict[str, Any]:
    recalls = [(name, recall, count) for name, _, recall, _, count in evaluation.per_class]
    num_correct = int((evaluation.probs_WK.argmax(1) == evaluation.actual_W).sum())
    return {
        "classes": evaluation.per_class,
        "compared": {"accuracy": evaluation.metrics["accuracy"], "macro F1": evaluation.metrics["macro_f1"]},
        "interval": wilson(num_correct, len(evaluation.actual_W)),
        "majority": np.bincount(evaluation.actual_W).max() / len(evaluation.actual_W),
        "confusion": drawings.confusion(evaluation),
        "class_bars": drawings.bars(recalls, "recall"),
        "group_bars": drawings.bars(evaluation.per_group, "accuracy"),
        "calibration": drawings.calibration(evaluation.calibration),
        "hardest": drawings.hardest(evaluation),
        "rows_of_classes": evaluation.profile["classes"],
    }


def _of_amounts(evaluation: Regression) -> dict[str, Any]:
    unit = evaluation.per_target[0][1] if len(evaluation.per_target) == 1 else ""
    return {
        "targets": evaluation.per_target,
        "compared": {"R²": evaluation.metrics["r2"], "mean absolute error": evaluation.metrics["mae"]},
        "unit": unit,
        "most_targets": amount_drawings.MOST_TARGETS,
        "against_actual": amount_drawings.against_actual(evaluation),
        "residuals": amount_drawings.residuals(evaluation),
        "group_bars": amount_drawings.group_errors(evaluation, unit),
        "hardest": amount_drawings.worst(evaluation),
        "target_columns": evaluation.profile["targets"],
    }


def _parameters(evaluation: Evaluation) -> dict[str, Any]:
    model = evaluation.model
    sections: dict[str, Any] = {name: model[name] for name in ("train", "losses", "metrics") if name in model}
    windows = {"window": model["window"], "stride": model["stride"]}
    return {
        "dataset": model["dataset"],
        "tensor_cache": windows,
        **sections,
        "models": {model["model"]: model["model_params"]},
        "evaluate": evaluation.params,
    }


def _flat(values: dict[str, Any], prefix: str = "") -> Iterable[tuple[str, str]]:
    for name, value in values.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value if isinstance(value, str) else json.dumps(value)
