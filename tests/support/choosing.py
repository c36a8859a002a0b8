"""Finished runs to choose among, recorded as a stage of a DVC pipeline records them, without a process of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from support.sinks import START
from trackstack.core.digest import digest_json
from trackstack.records.choosing.best import is_lower_better, rank
from trackstack.records.choosing.selection import select_runs
from trackstack.records.choosing.settings import averaged_params
from trackstack.tracking.journal import Journal

FIGURES = {"val_accuracy": 0.5}
TEST_PEOPLE = {0: [1, 4], 1: [2, 3]}


def write_run(home: Path, params: dict[str, Any], figures: dict[str, float], **more: Any) -> str:
    """A run of one step with `figures`; `more` is for its start record, and `status` for its end. Returns its id."""
    status = more.pop("status", "finished")
    run = more.pop("run", "r" + digest_json([params, more])[:12])
    journal = Journal(home / "runs" / run)
    start = START | {"run": run, "params": params, "attempt": journal.attempt, "series": journal.attempt}
    journal.write(start | {"destinations": {"sqlite": {"path": str(home / "project.db")}}} | more)
    journal.write({"type": "metrics", "time": START["time"], "step": 0, "values": dict.fromkeys(figures, -1.0)})
    journal.write({"type": "metrics", "time": START["time"], "step": 1, "values": figures})
    journal.write({"type": "end", "time": START["time"] + 9, "status": status, "error": None})
    journal.close()
    return run


def write_trial(home: Path, lr: float, seed: int, fold: int, figures: dict[str, float], **more: Any) -> str:
    """A trial of a sweep, as the reference pipeline records it: DVC knows the fold, and the run whom it was tested on."""
    model = more.pop("model", "cnn")
    own = {
        "dataset": "tiny",
        "tensor_cache": {"window": 20, "test": TEST_PEOPLE[fold]},
        "train": {"lr": lr, "seed": seed, "epochs": 3, "model": model},
    }
    cache = {
        "params": {"params.yaml": {"dataset": "tiny", "tensor_cache": {"fold": fold, "window": None}}},
        "outs": [],
    }
    upstream = {
        "stage": "train",
        "deps": [],
        "params": {"params.yaml": {"dataset": "tiny", "train": own["train"] | {"epochs": None}}},
        "stages": {"tensor_cache": cache},
        "data": [{"path": "data/raw/tiny", "md5": more.pop("md5", "1bbbb01ee9b3d21fe8a6095ba345aaf5.dir")}],
    }
    return write_run(home, own, figures, upstream=upstream, **more)


def write_sweep(home: Path) -> list[str]:
    """Twelve trials: two learning rates, three seeds, two folds; their ids."""
    runs = []
    for lr in (0.001, 0.003):
        for seed in range(3):
            for fold in range(2):
                accuracy = 0.7 + 30 * lr + 0.01 * seed - 0.1 * fold + 0.003 * (seed == fold)
                figures = {"val_accuracy": accuracy, "val_loss": 1 - accuracy, "test_accuracy": accuracy + 0.0625}
                runs.append(write_trial(home, lr, seed, fold, figures))
    return runs


def ranked(home, metric="val_accuracy", over=None, where=None):
    """Run ids, mean and sd of each setting, and the notes."""
    selection = select_runs(home, metric, where)
    settings = rank(selection.runs, metric, averaged_params(selection.runs, over), is_lower_better(metric))
    return [([run.key for run in one.runs], *one.figure) for one in settings], selection.notes
