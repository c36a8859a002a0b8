"""Groups are never split, every group is tested once, and a segment holds only rows that were recorded in a row."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.model_selection import GroupKFold
from support.projects import TINY_ENTRY

from pipeline.contract.catalog import Dataset
from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.splits import Segments, deal_into_folds, find_segments, split_groups


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


@pytest.mark.parametrize("rows_per_group", [1, 2, 3, 100])
@pytest.mark.parametrize(
    ("series", "segment", "edges"),
    [
        ([5, 5, 6, 6, 6], [1, 1, 1, 1, 1], [0, 2, 3, 5]),
        ([5, 5, 6, 6, 6], [1, 2, 2, 2, 3], [0, 1, 2, 3, 4, 5]),
        (["a", "a", "b", "b", "b"], [1, 1, 1, 1, 1], [0, 2, 3, 5]),
        (None, [1, 2, 2, 2, 3], [0, 3, 5]),
    ],
)
def test_a_segment_ends_where_group_or_series_changes_or_rows_are_no_neighbours(
    tmp_path, rows_per_group, series, segment, edges
):
    contract = Dataset.model_validate(TINY_ENTRY | {"series": "recording" if series else None}).contract()
    columns = {"subject": ["x", "x", "x", "y", "y"], "recording": series or [0] * 5, "__segment__": segment}
    pq.write_table(pa.table(columns), tmp_path / "rows.parquet", row_group_size=rows_per_group)
    with pq.ParquetFile(tmp_path / "rows.parquet") as rows:
        segments = find_segments(rows, contract)
    assert segments.edges.tolist() == edges
    assert segments.rows_of_groups() == {"x": 3, "y": 2}
    assert segments.are_in(["y"]).tolist() == [edge >= 3 for edge in edges[:-1]]


@pytest.mark.parametrize("num_rows", [50, 53])
def test_each_fold_gets_low_and_high_amounts_the_same_every_time(num_rows):
    amounts = np.random.default_rng(0).lognormal(size=(num_rows, 2)).astype(np.float32)
    segments = Segments(np.arange(num_rows + 1), np.arange(num_rows), range(num_rows))
    folds = deal_into_folds(segments, amounts, 5).groups
    assert (folds == deal_into_folds(segments, amounts, 5).groups).all()
    ranks = amounts[:, 0].argsort().argsort()
    for fold in range(5):
        in_fold = np.sort(ranks[folds == fold])
        assert len(in_fold) in (num_rows // 5, num_rows // 5 + 1)
        assert (in_fold[:10] // 5 == np.arange(10)).all(), "one of each five neighbours"


def test_recordings_are_dealt_out_by_the_mean_of_their_amount():
    amounts = np.repeat([[5.0], [1.0], [4.0], [2.0], [3.0], [6.0]], 4, axis=0).astype(np.float32)
    amounts[::4] = 0  # each begins at rest
    segments = Segments(np.arange(0, 25, 4), np.arange(6), range(6))
    folds = deal_into_folds(segments, amounts, 3).groups
    assert sorted(folds[[1, 3, 4]]) == sorted(folds[[0, 2, 5]]) == [0, 1, 2]
