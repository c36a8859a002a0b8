"""Groups are never split, and every group is tested once."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold

from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.segments import Segments
from pipeline.tensor_cache.splits import deal_into_folds, split_groups


@given(st.lists(st.integers(1, 50), min_size=3, max_size=30), st.integers(3, 6))
def test_over_all_folds_each_group_is_tested_once_and_never_in_two_splits(sizes, folds):
    folds = min(folds, len(sizes))
    rows = dict(enumerate(sizes))
    tested, validated = [], []
    for fold in range(folds):
        split = split_groups(rows, Params(window=1, stride=1, folds=folds, fold=fold, validation=True))
        assert sorted(split["train"] + split["val"] + split["test"]) == list(range(len(sizes)))
        tested += split["test"]
        validated += split["val"]
    assert sorted(tested) == sorted(validated) == list(range(len(sizes)))


@given(st.lists(st.integers(1, 50), min_size=4, max_size=15), st.integers(0, 3))
def test_groups_are_split_as_scikit_learn_splits_them(sizes, fold):
    params = Params(window=1, stride=1, folds=4, fold=fold, validation=True)
    split = split_groups(dict(enumerate(sizes)), params)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    tests = [test for _, test in GroupKFold(4).split(groups, groups=groups)]
    assert split["test"] == np.unique(groups[tests[fold]]).tolist()


def test_names_of_groups_may_be_text():
    params = Params(window=1, stride=1, folds=3, fold=0, validation=True)
    split = split_groups({"carl": 1, "anna": 2, "bert": 1}, params)
    assert split["test"] == ["anna"]
    assert sorted(split["train"] + split["val"]) == ["bert", "carl"]


@pytest.mark.parametrize("num_rows", [50, 53])
def test_each_fold_gets_low_and_high_amounts_the_same_every_time(num_rows):
    amounts = np.random.default_rng(0).lognormal(size=(num_rows, 2)).astype(np.float32)
    segments = Segments(np.arange(num_rows + 1), np.arange(num_rows), range(num_rows))
    folds = deal_into_folds(segments, amounts, 5)
    assert (folds == deal_into_folds(segments, amounts, 5)).all()
    ranks = amounts[:, 0].argsort().argsort()
    for fold in range(5):
        in_fold = np.sort(ranks[folds == fold])
        assert len(in_fold) in (num_rows // 5, num_rows // 5 + 1)
        assert (in_fold[:10] // 5 == np.arange(10)).all(), "one of each five neighbours"


def test_recordings_are_dealt_out_by_the_mean_of_their_amount():
    amounts = np.repeat([[5.0], [1.0], [4.0], [2.0], [3.0], [6.0]], 4, axis=0).astype(np.float32)
    amounts[::4] = 0  # each begins at rest
    segments = Segments(np.arange(0, 25, 4), np.arange(6), range(6))
    folds = deal_into_folds(segments, amounts, 3)
    assert sorted(folds[[1, 3, 4]]) == sorted(folds[[0, 2, 5]]) == [0, 1, 2]
