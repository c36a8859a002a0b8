"""How much a parameter says of a metric."""

import numpy as np
import pytest

from trackstack.page.columns import make_column
from trackstack.page.importance import by_chance, importance

RANDOM = np.random.default_rng(1)
NOISE = RANDOM.normal(size=200).tolist()


def test_a_parameter_that_decides_all_says_all_and_one_without_effect_nothing():
    deciding = make_column("a", [number % 2 for number in range(200)])
    assert importance(deciding, [float(number % 2) for number in range(200)]) == 1
    assert importance(deciding, NOISE) < 0.03
    assert by_chance(deciding, NOISE) == pytest.approx(3.84 / 200, rel=0.5)  # chi squared of one degree of freedom


def test_a_best_value_in_the_middle_is_seen():
    rates = np.linspace(-1, 1, 200)
    assert importance(make_column("lr", rates.tolist()), (-(rates**2)).tolist()) > 0.6
    assert importance(make_column("lr", RANDOM.permutation(rates).tolist()), (-(rates**2)).tolist()) < 0.05


def test_texts_count_as_numbers_do():
    texts, values = ["a", "b", "c"] * 20, [1.0, 2.0, 3.0] * 20
    assert importance(make_column("m", texts), values) == importance(make_column("m", values), values) == 1


@pytest.mark.parametrize(
    ("values", "metric"),
    [
        ([1, 2, 1, 2], [1.0, 2.0, 3.0, 4.0]),  # too few
        ([1, 2] * 5, [1.0] * 10),  # the metric is the same everywhere
        ([1, None] * 5, [None, 1.0] * 5),  # no run has both
        ([str(number) for number in range(10)], [float(number) for number in range(10)]),  # a text for each run
    ],
)
def test_of_too_little_nothing_is_said(values, metric):
    assert importance(make_column("a", values), metric) is None
