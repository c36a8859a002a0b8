"""Figures of drift against values worked out by hand, and at the edges where there is nothing to divide by."""

import numpy as np
import pytest

from pipeline.data_diff.drift import drift_in_words, largest_distance, stability_of_counts, stability_of_values


def values(*numbers):
    return np.array(numbers, np.float32)


def test_equal_shares_have_an_index_of_0_whatever_the_numbers_of_rows():
    assert stability_of_counts([10, 30], [1, 3]) == 0


def test_the_index_is_the_sum_over_bins():
    # Shares of 1/2 and 1/2 become 1/4 and 3/4: (-1/4) ln(1/2) + (1/4) ln(3/2).
    assert stability_of_counts([5, 5], [25, 75]) == pytest.approx(0.25 * np.log(2) + 0.25 * np.log(1.5))


def test_a_bin_without_rows_counts_as_one_row_in_ten_thousand():
    expected = (1e-4 - 0.5) * np.log(1e-4 / 0.5) + 0.5 * np.log(2)
    assert stability_of_counts([5, 5], [0, 10]) == pytest.approx(expected)


@pytest.mark.parametrize("sides", [([0, 0], [1, 2]), ([1, 2], [0, 0]), ([], [])])
def test_no_rows_have_no_index(sides):
    assert stability_of_counts(*sides) is None


def test_numbers_are_compared_by_the_deciles_of_the_older_ones():
    before = np.arange(1000, dtype=np.float32)
    assert stability_of_values(before, before[::-1]) == 0
    # The lower half of the bins is empty, the upper half has twice its share.
    expected = 5 * ((1e-4 - 0.1) * np.log(1e-4 / 0.1) + 0.1 * np.log(2))
    assert stability_of_values(before, before[500:]) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("constant", [0, -3.5, 1e30])
def test_a_constant_that_becomes_another_drifts(constant):
    before = np.full(50, constant, np.float32)
    assert stability_of_values(before, before) == 0
    assert stability_of_values(before, np.nextafter(before, np.float32(-np.inf))) > 1
    assert stability_of_values(before, np.nextafter(before, np.float32(np.inf))) > 1


def test_missing_values_are_a_bin_of_their_own():
    before = values(*range(100))
    assert stability_of_values(before, values(*range(50), *range(50, 100), *[np.nan] * 100)) > 0.25
    assert stability_of_values(values(np.nan), values(np.nan, np.nan)) == 0
    assert stability_of_values(values(), before) is None


def test_the_distance_is_that_of_the_distribution_functions():
    assert largest_distance(values(1, 2, 3, 4), values(3, 4, 5, 6)) == pytest.approx(0.5)
    assert largest_distance(values(1, 2, np.nan), values(2, 1)) == 0
    assert largest_distance(values(np.nan), values(1)) is None


def test_the_rule_of_thumb_has_two_thresholds():
    assert [drift_in_words(index) for index in (None, 0.05, 0.1, 0.25)] == ["", "", "some drift", "much drift"]
