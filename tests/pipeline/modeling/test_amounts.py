"""Figures of amounts, against scikit-learn's."""

import numpy as np
import pytest
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from pipeline.modeling.amounts import amount_figures


def test_they_are_means_over_the_targets_as_in_scikit_learn():
    random = np.random.default_rng(0)
    actual = random.normal(size=(40, 3)) * [1, 10, 100]
    predicted = actual + random.normal(size=(40, 3))
    found = amount_figures(predicted, actual, actual.std(0))
    assert found == pytest.approx(
        {
            "loss": np.square((predicted - actual) / actual.std(0)).mean(),
            "mae": mean_absolute_error(actual, predicted),
            "rmse": root_mean_squared_error(actual, predicted),
            "r2": r2_score(actual, predicted),
        }
    )


@pytest.mark.parametrize(("predicted", "r2"), [(2.0, 1.0), (3.0, 0.0)])
def test_where_all_amounts_are_equal_there_is_nothing_to_explain(predicted, r2):
    assert amount_figures(np.full((3, 1), predicted), np.full((3, 1), 2.0), np.ones(1))["r2"] == r2
