"""The figures of evaluate, against values worked out by hand."""

import numpy as np
import pytest
from support.evaluations import made_up

from pipeline.evaluate.figures import calibration, hardest_windows, per_class, per_group, summarise, wilson

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


def test_the_hardest_windows_are_the_least_likely_of_each_segment(tmp_path):
    evaluation = made_up(tmp_path, ["no", "yes"], ["x"], 3, window=10, windows=30)
    likely = evaluation.probs_WK[np.arange(30), evaluation.actual_W].reshape(3, 10)
    wanted = sorted(range(3), key=lambda number: likely[number].min())
    assert hardest_windows(evaluation) == [10 * number + likely[number].argmin() for number in wanted]


def test_an_interval_of_a_share():
    assert wilson(8, 10) == pytest.approx((0.490162, 0.943318), abs=1e-6)  # Newcombe 1998's formula, by hand
    assert wilson(0, 5) == pytest.approx((0, 0.434482), abs=1e-6)
