"""The figures of evaluate, against values worked out by hand."""

import json

import numpy as np
import pytest
from conftest import edit_yaml

from trackstack.evaluate import calibration, per_class, per_group, summarise

ACTUAL = np.array([0, 0, 1, 1])
PROBS = np.array([[0.9, 0.1], [0.4, 0.6], [0.3, 0.7], [0.05, 0.95]])


def test_the_summary_of_four_windows():
    summary = summarise(ACTUAL, PROBS, calibration(ACTUAL, PROBS, 10))
    loss = -np.log([0.9, 0.4, 0.7, 0.95]).mean()
    # Bins 0.6-0.7: 0.6 wrong; 0.7-0.8: 0.7 right; 0.9-1.0: 0.9 and 0.95 right.
    error = (0.6 + 0.3 + 0.1 + 0.05) / 4
    expected = {
        "accuracy": 0.75,
        "macro_f1": (2 / 3 + 0.8) / 2,
        "loss": loss,
        "calibration_error": error,
        "windows": 4,
    }
    assert summary == pytest.approx(expected)


def test_per_class_figures_of_four_windows():
    rows = per_class(ACTUAL, PROBS.argmax(1), np.array(["a", "b"]))
    assert rows[0] == pytest.approx(("a", 1.0, 0.5, 2 / 3, 2))
    assert rows[1] == pytest.approx(("b", 2 / 3, 1.0, 0.8, 2))


def test_a_class_that_never_occurs_counts_zero():
    rows = per_class(np.array([0, 0]), np.array([0, 0]), np.array(["a", "b"]))
    assert rows[1] == ("b", 0.0, 0.0, 0.0, 0)


def test_groups_are_counted_in_the_order_of_their_names():
    rows = per_group([10, 9, 9, 10, 9], np.array([True, False, True, True, True]))
    assert rows == [(9, pytest.approx(2 / 3), 3), (10, 1.0, 2)]


def test_full_confidence_falls_into_the_last_bin():
    assert calibration(np.array([0]), np.array([[1.0, 0.0]]), 10) == [(1.0, 1.0, 1)]


@pytest.mark.parametrize("precision", ["float32", "bf16"])
def test_evaluate_on_the_validation_split_agrees_with_what_training_reported(project, run, precision):
    edit_yaml(project / "params.yaml", {"train": {"precision": precision, "epochs": 3}})
    run(project, "dvc repro train")
    script = (
        "from pathlib import Path; from trackstack.stage import pin_environment; pin_environment();"
        "from trackstack.evaluate import evaluate; from trackstack.params import load_params;"
        "folders = [Path(name) for name in ('data/cache', 'results/model', 'results/live', 'data/processed/profile.json')];"
        "evaluate(*folders, Path('out'), load_params().evaluate, split='val')"
    )
    run(project, ["env", "PYTHONPATH=src", "python", "-P", "-c", script])
    found = json.loads((project / "out/metrics.json").read_text())
    kept = json.loads((project / "results/model/model.json").read_text())["kept"]
    assert found["val_accuracy"] == kept["val_accuracy"]
    assert found["val_loss"] == pytest.approx(kept["val_loss"], rel=1e-6)
