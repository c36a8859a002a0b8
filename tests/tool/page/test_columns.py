"""Parameters as columns, each with places on an axis."""

import math

import pytest
from support.pages import made_up

from trackstack.page.columns import clean, differing_params, make_column, metric_names


def test_places_of_numbers_go_from_0_to_1_and_on_a_log_axis_where_they_lie_far_apart():
    near, far = make_column("a", [1, 2, 3]), make_column("b", [0.001, 0.01, 1])
    assert (near.places, near.is_log) == ([0, 0.5, 1], False)
    assert (far.places, far.is_log) == ([0, 0.3333, 1], True)
    assert far.ticks == [(0, "0.001"), (0.3333, "0.01"), (1, "1")]


def test_what_is_no_finite_number_has_no_place_and_is_kept_as_text():
    column = make_column("a", [1, math.nan, 2, None, -math.inf, 10**400])
    assert column.values == [1, None, 2, None, None, None]
    assert column.odd.keys() == {1, 4, 5}
    assert (column.odd[1], column.odd[4]) == ("nan", "-inf")


@pytest.mark.parametrize("values", [["a"], ["a", None], [1, 1], [str(n) for n in range(31)], [-1e308, 1e308]])
def test_what_shows_nothing_is_not_drawn(values):
    assert not make_column("a", values).is_drawn


def test_texts_lists_and_truths_are_texts():
    column = make_column("a", [True, [1, 2], "x", None])
    assert column.values == ["true", "[1, 2]", "x", None]
    assert [label for _, label in column.ticks] == ["[1, 2]", "true", "x"]


def test_only_parameters_that_differ_are_columns():
    runs = [
        made_up(number, 1, {"same": 1, "lr": number, "only": 1} | ({"more": 2} if number else {}))
        for number in range(2)
    ]
    assert [column.name for column in differing_params(runs)] == ["lr", "more"]


def test_the_usual_metric_is_the_first():
    runs = [made_up(0, 1, val_f1=1, a=2)]
    assert metric_names(runs) == ["val_accuracy", "val_f1", "val_loss", "a"]


def test_no_text_turns_round_or_ends_what_stands_around_it():
    assert clean("a\u202eb\x00\ud800\n") == "a\ufffdb\ufffd\\ud800\ufffd"
    assert clean("postgresql://me:secret@host/db") == "postgresql://[redacted]@host/db"
    assert clean("日本 🙂 <b>") == "日本 🙂 <b>"
