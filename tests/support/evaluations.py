"""Evaluations that are made up, of any size."""

from pathlib import Path

import numpy as np
import torch

from pipeline.evaluate.baselines import Baseline
from pipeline.evaluate.figures import Evaluation, measure
from pipeline.evaluate.params import Params
from pipeline.windows.dataset import TensorCache, WindowDataset


def made_up(
    tmp_path: Path,
    classes: list[str],
    features: list[str],
    groups: int,
    window: int,
    rate: float | None = None,
    windows: int = 600,
) -> Evaluation:
    """An evaluation of random probabilities on a random signal, with a segment for each group."""
    random = np.random.default_rng(0)
    length = windows * window
    starts = torch.arange(windows) * window
    edges = torch.linspace(0, length, groups + 1).long()
    about = {
        "window": window,
        "sample_rate_hz": rate,
        "features": [{"name": name} for name in features],
        "classes": classes,
        "group": "site",
        "groups": [f"site {number}" for number in range(groups)],
        "split": {"train": ["a"], "val": ["b"], "test": [f"site {number}" for number in range(groups)]},
        "digests": {"ingest": "1" * 64, "parquet": "2" * 64},
        "digest": "3" * 64,
    }
    signal = torch.from_numpy(random.normal(size=(length, len(features))).astype(np.float32))
    zeros = torch.zeros(len(features))
    labels = torch.from_numpy(random.integers(len(classes), size=length))
    cache = TensorCache(signal, labels, {"test": starts}, zeros, zeros + 1, about, edges, torch.arange(groups))
    windows = WindowDataset(cache, "test")
    probs_WK = random.dirichlet(np.ones(len(classes)), size=len(windows))
    column = {"count": length, "nulls": 0, "min": -3.0, "max": 3.0, "mean": 0.0, "std": 1.0}
    column["quantiles"] = {"0.01": -2.3, "0.25": -0.7, "0.5": 0.0, "0.75": 0.7, "0.99": 2.3}
    model = {
        "run": "r0123456789ab",
        "model": "mlp",
        "model_params": {"hidden": 8},
        "dataset": "made up",
        "digest": "4",
    }
    profile = {
        "columns": dict.fromkeys(features, column),
        "rows": {"read": length, "accepted": length, "rejected": 0},
        "classes": dict.fromkeys(classes, 6),
    }
    return measure(
        windows,
        probs_WK,
        Params(calibration_bins=10, baselines=False, threads=1),
        split="test",
        model=model | {"window": window, "stride": window},
        live=tmp_path / "no curves",
        profile=profile,
        beside=[Baseline("most frequent class", 0.25, 0.1, 600), Baseline("boosted trees", 0.5, 0.5, 300)],
    )
