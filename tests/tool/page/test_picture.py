"""trackstack runs compare --plot: a panel per parameter that differs."""

import pytest

from trackstack import UserError
from trackstack.page.picture import draw_comparison

ROWS = [
    {"what": "params", "field": "train.lr", "r1": 0.001, "r2": 0.1, "r3": 0.01},
    {"what": "params", "field": "train.model", "r1": "cnn", "r2": "mlp", "r3": None},
    {"what": "metrics", "field": "val_accuracy", "r1": 0.5, "r2": 0.6, "r3": None},
]


@pytest.mark.parametrize("suffix", ["png", "svg", "pdf"])
def test_a_picture_is_drawn_also_where_a_run_has_no_figure(tmp_path, suffix):
    out = tmp_path / f"sweep.{suffix}"
    assert draw_comparison(ROWS, "val_accuracy", out) == 2
    assert out.stat().st_size > 5000


@pytest.mark.parametrize(
    ("rows", "name", "said"),
    [
        (ROWS[:2], "x.png", "val_accuracy is the same in all runs"),
        (ROWS[2:], "x.png", "no parameter has two values or more"),
        (ROWS, "x.nope", "x.nope: expected a name that ends with .png, .svg or .pdf"),
    ],
)
def test_what_cannot_be_drawn_is_one_line(tmp_path, rows, name, said):
    with pytest.raises(UserError, match=said):
        draw_comparison(rows, "val_accuracy", tmp_path / name)
