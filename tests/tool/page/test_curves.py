"""Curves that fit into a page."""

import math

from support.pages import made_up

from trackstack.page.curves import FEWEST_OF_A_CURVE, MOST_POINTS, page_curves, thin


def test_a_short_curve_is_whole_and_steps_that_are_shared_are_there_once():
    curves = page_curves([made_up(0, 20), made_up(1, 20)], ["val_accuracy", "val_loss"])
    assert (len(curves.steps), curves.thinned, curves.left_out) == (1, 0, [])
    assert [len(values) for _, _, values in curves.of_metric["val_loss"]] == [20, 20]


def test_a_thinned_curve_keeps_its_ends_its_extremes_and_its_gaps():
    curve = [(step, math.sin(step / 100)) for step in range(5000)]
    curve[1234] = 1234, 9.0
    curve[3000:3400] = [(step, math.nan) for step in range(3000, 3400)]
    kept = thin(curve, 100)
    assert len(kept) <= 100
    assert kept[0] == curve[0]
    assert kept[-1] == curve[-1]
    assert (1234, 9.0) in kept
    assert any(math.isnan(value) for _, value in kept)
    assert kept == sorted(kept)


def test_many_curves_have_few_points_each_and_of_too_many_metrics_some_are_left_out():
    runs = [made_up(number, 100, **{f"more_{metric}": 1.0 for metric in range(9)}) for number in range(1500)]
    curves = page_curves(runs, list(runs[0].curves))
    assert FEWEST_OF_A_CURVE <= curves.most < 50
    assert sum(len(values) for of in curves.of_metric.values() for _, _, values in of) <= MOST_POINTS
    assert curves.left_out == ["more_4", "more_5", "more_6", "more_7", "more_8"]
    assert curves.thinned == 6 * 1500
