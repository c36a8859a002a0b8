"""The tensor cache: no leak between splits, normalisation from training rows alone, the same bytes twice."""

import json

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import ROOT, TINY_ENTRY, write_tiny_recordings
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.numpy import save
from sklearn.model_selection import GroupKFold

from trackstack import UserError
from trackstack.catalog import Dataset, load_dataset
from trackstack.digest import canonical_json, digest_arrays, digest_json
from trackstack.ingest import build_manifest
from trackstack.params import ParquetParams, TensorCacheParams, load_params
from trackstack.parquet import convert
from trackstack.tensor_cache import build, find_segments, moments, split_groups, window_starts
from trackstack.windows import WindowDataset, open_cache

PARQUET = ParquetParams(compression="zstd", max_rejected=0)
PARAMS = TensorCacheParams(window=20, stride=10, folds=4, fold=0, validation=True)


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


def test_without_a_group_rows_are_dealt_out_class_by_class(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    table = Dataset.model_validate(TINY_ENTRY | {"series": None, "group": None, "extra": ["recording", "subject"]})
    convert(build_manifest("tiny", table, tmp_path / "raw"), tmp_path / "raw", tmp_path / "processed", PARQUET)
    tested = []
    for fold in range(4):
        build(tmp_path / "processed", tmp_path / "cache", PARAMS.model_copy(update={"fold": fold}))
        cache = open_cache(tmp_path / "cache")
        assert torch.bincount(cache.label[cache.starts["test"]]).tolist() == [60, 60]
        assert len(cache.starts["train"]) == 240
        tested += cache.starts["test"].tolist()
    assert sorted(tested) == list(range(480))
    assert tested[:120] != list(range(0, 480, 4)), "shuffled"


def test_without_a_group_recordings_are_dealt_out_whole(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    entry = Dataset.model_validate(TINY_ENTRY | {"group": None, "extra": ["subject"]})
    convert(build_manifest("tiny", entry, tmp_path / "raw"), tmp_path / "raw", tmp_path / "processed", PARQUET)
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    starts = cache.starts
    assert cache.metadata["group"] is None
    recordings = {split: set((found // 60).tolist()) for split, found in starts.items()}
    assert set.union(*recordings.values()) == set(range(8))
    assert sorted(map(len, recordings.values())) == [2, 2, 4]
    with pytest.raises(UserError, match=r"tensor_cache\.folds is 9; expected at most 8, the recordings"):
        build(tmp_path / "processed", tmp_path / "cache", PARAMS.model_copy(update={"folds": 9}))


@given(st.lists(st.integers(1, 50), min_size=3, max_size=30), st.integers(3, 6))
def test_over_all_folds_each_group_is_tested_once_and_never_in_two_splits(sizes, folds):
    folds = min(folds, len(sizes))
    rows = dict(enumerate(sizes))
    tested, validated = [], []
    for fold in range(folds):
        split = split_groups(rows, TensorCacheParams(window=1, stride=1, folds=folds, fold=fold, validation=True))
        assert sorted(split["train"] + split["val"] + split["test"]) == list(range(len(sizes)))
        tested += split["test"]
        validated += split["val"]
    assert sorted(tested) == sorted(validated) == list(range(len(sizes)))


@given(st.lists(st.integers(1, 50), min_size=4, max_size=15), st.integers(0, 3))
def test_groups_are_split_as_scikit_learn_splits_them(sizes, fold):
    params = TensorCacheParams(window=1, stride=1, folds=4, fold=fold, validation=True)
    split = split_groups(dict(enumerate(sizes)), params)
    groups = np.repeat(np.arange(len(sizes)), sizes)
    tests = [test for _, test in GroupKFold(4).split(groups, groups=groups)]
    assert split["test"] == np.unique(groups[tests[fold]]).tolist()


def test_without_validation_its_groups_are_trained_on_and_normalised_with(tmp_path, tiny_project):
    build(tiny_project / "data/processed", tmp_path / "cache", PARAMS.model_copy(update={"validation": False}))
    whole, held_out = open_cache(tmp_path / "cache"), open_cache(tiny_project / "data/cache")
    groups = held_out.metadata["split"]
    assert whole.metadata["split"] == {
        "train": sorted(groups["train"] + groups["val"]),
        "val": [],
        "test": groups["test"],
    }
    assert len(whole.starts["val"]) == 0
    assert torch.equal(whole.starts["test"], held_out.starts["test"])
    both = torch.cat([held_out.starts["train"], held_out.starts["val"]]).sort().values
    assert torch.equal(whole.starts["train"], both)
    groups_T = whole.segment_groups.repeat_interleave(whole.segment_edges.diff())
    tested = whole.metadata["groups"].index(groups["test"][0])
    raw_TC = held_out.signal * held_out.std + held_out.mean
    torch.testing.assert_close(whole.mean, raw_TC[groups_T != tested].mean(0))


def test_names_of_groups_may_be_text():
    params = TensorCacheParams(window=1, stride=1, folds=3, fold=0, validation=True)
    split = split_groups({"carl": 1, "anna": 2, "bert": 1}, params)
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
        found = find_segments(rows, contract)
    assert found.edges.tolist() == edges
    assert found.rows_of_groups() == {"x": 3, "y": 2}
    assert found.are_in(["y"]).tolist() == [edge >= 3 for edge in edges[:-1]]


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
    begins, ends = np.array([0, 3, 10, 11]), np.array([3, 10, 11, 15])
    assert window_starts(begins, ends, window=4, stride=2).tolist() == [3, 5, 11]
    assert window_starts(begins[:1], ends[:1], window=4, stride=2).tolist() == []


def test_a_constant_column_is_left_as_it_is():
    mean, std = moments([np.full((10, 1), 3.0, np.float32)])
    assert (mean.item(), std.item()) == (3.0, 1.0)


def test_a_large_offset_does_not_spoil_the_spread():
    column = (1e6 + np.arange(1000) % 2).astype(np.float32)[:, None]
    assert moments([column])[1].item() == pytest.approx(0.5)
    assert moments([column[:300], column[300:]])[1].item() == pytest.approx(0.5)


def test_the_file_is_what_safetensors_makes_of_the_whole(processed, tmp_path):
    """Written piece by piece, and yet to the byte the library's own."""
    build(processed, tmp_path / "cache", PARAMS)
    file = tmp_path / "cache/tensors.safetensors"
    with safe_open(file, framework="np") as tensors:
        whole = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118 (no dict)
        metadata = json.loads(tensors.metadata()["trackstack"])
    assert save(whole, {"trackstack": canonical_json(metadata)}) == file.read_bytes()
    digest = metadata.pop("digest")
    assert digest == digest_json([metadata, digest_arrays(whole)])


def test_row_groups_do_not_show_in_the_cache(processed, tmp_path, monkeypatch):
    monkeypatch.setattr("trackstack.parquet.BLOCK_BYTES", 700)
    manifest = build_manifest("tiny", Dataset.model_validate(TINY_ENTRY), tmp_path / "raw")
    convert(manifest, tmp_path / "raw", tmp_path / "parts", PARQUET)
    for folder in (processed, tmp_path / "parts"):
        build(folder, tmp_path / f"{folder.name} cache", PARAMS)
    one, other = (open_cache(tmp_path / f"{name} cache") for name in ("processed", "parts"))
    assert pq.ParquetFile(tmp_path / "parts/rows.parquet").num_row_groups > 20
    assert torch.equal(one.label, other.label)
    assert torch.allclose(one.signal, other.signal, rtol=1e-6)
    assert all(torch.equal(one.starts[split], other.starts[split]) for split in one.starts)


def test_a_missing_value_is_the_mean_of_the_training_rows(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    file = tmp_path / "raw/subject_2.csv"
    lines = file.read_text().splitlines()
    for number, text in ((5, ""), (6, "nan")):
        fields = lines[number].split(",")
        lines[number] = ",".join([*fields[:2], text, *fields[3:]])
    file.write_text("\n".join(lines) + "\n")
    features = [{"name": "ax", "missing": "mean"}, {"name": "ay"}, {"name": "az"}]
    dataset = Dataset.model_validate(TINY_ENTRY | {"features": features})
    convert(build_manifest("tiny", dataset, tmp_path / "raw"), tmp_path / "raw", tmp_path / "processed", PARQUET)
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    profile = json.loads((tmp_path / "processed/profile.json").read_text())
    assert (profile["columns"]["ax"]["nulls"], profile["columns"]["ax"]["count"]) == (2, 478)
    cache = open_cache(tmp_path / "cache")
    assert (cache.signal[:, 0] == 0).nonzero().flatten().tolist() == [124, 125]
    values = pl.read_parquet(tmp_path / "processed/rows.parquet").filter(
        pl.col("subject").is_in(cache.metadata["split"]["train"])
    )
    assert cache.mean[0] == pytest.approx(values["ax"].mean())


def test_hundreds_of_features_and_uneven_recordings(tmp_path):
    """Recordings of 1 to 40 rows, windows of 20: short ones have none; 300 columns."""
    random = np.random.default_rng(0)
    lengths = [1, 40, 19, 20, 33, 3, 20, 21]
    signal = random.normal(size=(sum(lengths), 300)).round(4)
    names = [f"f{number}" for number in range(300)]
    lines = [",".join(["recording", "subject", *names, "label"])]
    recording = np.repeat(np.arange(len(lengths)), lengths)
    for values, number in zip(signal, recording, strict=True):
        lines.append(",".join([str(number), str(number % 4), *map(str, values), "up"]))
    (tmp_path / "raw").mkdir()
    (tmp_path / "raw/all.csv").write_text("\n".join(lines) + "\n")
    wide = {"features": [{"name": name} for name in names], "num_samples": len(signal)}
    manifest = build_manifest("tiny", Dataset.model_validate(TINY_ENTRY | wide), tmp_path / "raw")
    convert(manifest, tmp_path / "raw", tmp_path / "processed", PARQUET)
    # Subjects 0 and 3 have recordings of 33 and 20, 20 and 21 rows; 1 has 40, 2 has 20.
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    assert cache.signal.shape == (len(signal), 300)
    begins = np.cumsum([0, *lengths[:-1]])
    expected = [begins[1], begins[1] + 10, begins[1] + 20, begins[3], begins[4], begins[4] + 10, begins[6], begins[7]]
    assert sorted(torch.cat([*cache.starts.values()]).tolist()) == expected
    start = cache.starts["test"][0]
    window, _ = WindowDataset(cache, "test").batch(torch.tensor([0]))
    raw = signal[start : start + 20].astype(np.float32)
    np.testing.assert_allclose(window[0] * cache.std + cache.mean, raw, rtol=1e-4, atol=1e-5)
