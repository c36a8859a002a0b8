"""The tensor cache: no leak between splits, normalisation from training rows alone, the same bytes twice."""

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, TINY_ENTRY, write_tiny_recordings
from hypothesis import given
from hypothesis import strategies as st

from trackstack import UserError
from trackstack.catalog import Dataset, load_dataset
from trackstack.ingest import build_manifest
from trackstack.params import ParquetParams, TensorCacheParams, load_params
from trackstack.parquet import convert
from trackstack.tensor_cache import build, moments, segment_bounds, split_groups, window_starts
from trackstack.windows import open_cache

PARQUET = ParquetParams(compression="zstd", max_rejected=0)
PARAMS = TensorCacheParams(window=20, stride=10, folds=4, fold=0)


@pytest.fixture
def processed(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    manifest = build_manifest("tiny", Dataset.model_validate(TINY_ENTRY), tmp_path / "raw")
    convert(manifest, tmp_path / "raw", tmp_path / "processed", PARQUET)
    return tmp_path / "processed"


def test_the_sample_has_no_leak_when_recomputed_from_the_raw_files(sample, tmp_path):
    """Splits, windows and normalisation of the shipped settings, by other code and from the CSV files."""
    params = load_params(ROOT / "params.yaml")
    dataset = load_dataset("sensor_v2", ROOT / "data/catalog.yaml")
    convert(build_manifest("sensor_v2", dataset, sample), sample, tmp_path / "processed", PARQUET)
    build(tmp_path / "processed", tmp_path / "cache", params.tensor_cache)
    cache = open_cache(tmp_path / "cache")
    raw = pd.concat([pd.read_csv(file) for file in sorted(sample.iterdir())], ignore_index=True)

    subjects = {}
    for split, starts in cache.starts.items():
        rows = starts.numpy()[:, None] + np.arange(200)
        assert (raw["recording"].to_numpy()[rows] == raw["recording"].to_numpy()[starts][:, None]).all()
        assert (raw["subject"].to_numpy()[rows] == raw["subject"].to_numpy()[starts][:, None]).all()
        subjects[split] = set(raw["subject"].to_numpy()[starts].tolist())
        assert subjects[split] == set(cache.metadata["split"][split])
    assert set.union(*subjects.values()) == set(range(1, 11))
    assert sum(map(len, subjects.values())) == 10

    features = raw[["ax", "ay", "az", "wx", "wy", "wz"]].astype("float32").astype("float64")
    training = features[raw["subject"].isin(subjects["train"])]
    np.testing.assert_allclose(cache.mean, training.mean(), rtol=1e-6)
    np.testing.assert_allclose(cache.std, training.std(ddof=0), rtol=1e-6)
    np.testing.assert_allclose(
        cache.signal, (features - training.mean()) / training.std(ddof=0), rtol=1e-4, atol=1e-5
    )
    names = np.array(cache.metadata["classes"])[cache.label.numpy()]
    assert (names == raw["label"].to_numpy()).all()


def test_every_window_that_fits_is_there(processed, tmp_path):
    build(processed, tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    # Two recordings of 60 rows a person: starts 0, 10, ..., 40 in each.
    assert {split: len(starts) for split, starts in cache.starts.items()} == {
        "train": 20,
        "val": 10,
        "test": 10,
    }
    first = 120 * (cache.metadata["split"]["test"][0] - 1)
    assert (cache.starts["test"] - first).tolist() == [0, 10, 20, 30, 40, 60, 70, 80, 90, 100]


def test_the_bytes_repeat_and_anybody_may_read_them(processed, tmp_path):
    contents = set()
    for name in "abcd":
        build(processed, tmp_path / name, PARAMS)
        file = tmp_path / name / "tensors.safetensors"
        contents.add(file.read_bytes())
        assert file.stat().st_mode & 0o044, "save_file() would have made it private"
    assert len(contents) == 1
    assert str(tmp_path).encode() not in contents.pop()


def test_the_digest_follows_what_is_in_the_cache(processed, tmp_path):
    digests = set()
    for number, change in enumerate(({}, {"fold": 1}, {"stride": 5}, {"folds": 3})):
        build(processed, tmp_path / str(number), PARAMS.model_copy(update=change))
        digests.add(open_cache(tmp_path / str(number)).metadata["digest"])
    assert len(digests) == 4


def test_data_without_series_has_windows_of_one_row(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    tabular = Dataset.model_validate(TINY_ENTRY | {"series": None, "extra": ["recording"]})
    convert(build_manifest("tiny", tabular, tmp_path / "raw"), tmp_path / "raw", tmp_path / "processed", PARQUET)
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    assert cache.metadata["window"] == 1
    assert len(cache.starts["test"]) == 120


@given(st.lists(st.integers(1, 50), min_size=3, max_size=30), st.integers(3, 6))
def test_over_all_folds_each_group_is_tested_once_and_never_in_two_splits(sizes, folds):
    folds = min(folds, len(sizes))
    group = np.repeat(np.arange(len(sizes)), sizes)
    tested, validated = [], []
    for fold in range(folds):
        split = split_groups(group, TensorCacheParams(window=1, stride=1, folds=folds, fold=fold))
        assert sorted(split["train"] + split["val"] + split["test"]) == list(range(len(sizes)))
        tested += split["test"]
        validated += split["val"]
    assert sorted(tested) == sorted(validated) == list(range(len(sizes)))


def test_names_of_groups_may_be_text():
    group = np.array(["anna", "anna", "bert", "carl"])
    split = split_groups(group, TensorCacheParams(window=1, stride=1, folds=3, fold=0))
    assert split["test"] == ["anna"]
    assert sorted(split["train"] + split["val"]) == ["bert", "carl"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (
            {"folds": 9},
            "params.yaml: tensor_cache.folds is 9; expected at most 4, the number of groups in the data",
        ),
        (
            {"window": 61},
            "params.yaml: tensor_cache.window is 61; no recording of the train split (groups ",
        ),
    ],
)
def test_settings_that_the_data_cannot_meet_are_one_line(processed, tmp_path, change, expected):
    with pytest.raises(UserError) as caught:
        build(processed, tmp_path / "cache", PARAMS.model_copy(update=change))
    assert str(caught.value).startswith(expected)
    assert not (tmp_path / "cache").exists()


def test_a_segment_ends_where_group_or_series_changes_or_rows_are_no_neighbours():
    group, series = np.array([1, 1, 1, 2, 2]), np.array([5, 5, 6, 6, 6])
    one = np.ones(5, np.int32)
    assert segment_bounds(group, series, one) == [(0, 2), (2, 3), (3, 5)]
    assert segment_bounds(group, series, np.array([1, 2, 2, 2, 3])) == [
        (0, 1),
        (1, 2),
        (2, 3),
        (3, 4),
        (4, 5),
    ]
    assert segment_bounds(group, None, np.array([1, 2, 2, 2, 3])) == [(0, 3), (3, 5)]


def starts_per_file(raw, folder):
    """The starts of all windows, as (subject, row within the CSV files of that subject)."""
    rows = sum(len(file.read_text().splitlines()) - 1 for file in raw.iterdir())
    manifest = build_manifest("tiny", Dataset.model_validate(TINY_ENTRY | {"num_samples": rows}), raw)
    convert(manifest, raw, folder / "processed", ParquetParams(compression="zstd", max_rejected=9))
    build(folder / "processed", folder / "cache", PARAMS)
    return sorted(np.concatenate([starts.numpy() for starts in open_cache(folder / "cache").starts.values()]))


def test_a_window_does_not_join_two_files_that_number_their_recordings_alike(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    first = tmp_path / "raw/subject_1.csv"
    header, *rows = first.read_text().splitlines()
    first.write_text("\n".join([header, *rows[:25]]) + "\n")
    (tmp_path / "raw/subject_1b.csv").write_text("\n".join([header, *rows[25:60]]) + "\n")
    starts = starts_per_file(tmp_path / "raw", tmp_path)
    assert [start for start in starts if start < 60] == [0, 25, 35]


def test_a_window_does_not_close_the_gap_that_a_rejected_row_leaves(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    first = tmp_path / "raw/subject_1.csv"
    lines = first.read_text().splitlines()
    lines[26] = "no row"  # the 26th of 60 rows
    first.write_text("\n".join(lines) + "\n")
    starts = starts_per_file(tmp_path / "raw", tmp_path)
    assert [start for start in starts if start < 59] == [0, 25, 35]


def test_a_segment_shorter_than_a_window_has_none():
    assert window_starts([(0, 3), (3, 10)], window=4, stride=2).tolist() == [3, 5]


def test_a_constant_column_is_left_as_it_is():
    mean, std = moments(np.full((10, 1), 3.0, np.float32))
    assert (mean.item(), std.item()) == (3.0, 1.0)


def test_a_large_offset_does_not_spoil_the_spread():
    column = (1e6 + np.arange(1000) % 2).astype(np.float32)[:, None]
    assert moments(column)[1].item() == pytest.approx(0.5)
