"""The tensor cache: no leak between splits, normalisation from training rows alone, the same bytes twice."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.parquet as pq
import pytest
import torch
from support.conversion import MANY_REJECTED, contents, convert_folder, write_csv
from support.projects import write_tiny_recordings

from pipeline.tensor_cache.normalising import mean_and_std, moments_of_rows
from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.stage import build
from pipeline.windows.dataset import WindowDataset, open_cache
from trackstack import UserError

PARAMS = Params(window=20, stride=10, folds=4, fold=0, validation=True)


@pytest.fixture
def processed(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    convert_folder(tmp_path / "raw", tmp_path / "processed")
    return tmp_path / "processed"


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
    for name in "ab":
        build(processed, tmp_path / name, PARAMS)
        for file in filter(Path.is_file, (tmp_path / name).rglob("*")):
            assert file.stat().st_mode & 0o044, "save_file() would have made it private"
            assert str(tmp_path).encode() not in file.read_bytes()
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    parts = {f"signal/subject_{number}.csv.0000.safetensors" for number in (1, 2, 3, 4)}
    assert contents(tmp_path / "a").keys() == {*parts, "segments.safetensors", "splits.safetensors"}


def test_another_fold_window_or_stride_is_another_small_file_beside_the_same_signal(processed, tmp_path):
    found = set()
    for number, change in enumerate(({}, {"fold": 1}, {"window": 10}, {"stride": 5}, {"folds": 3})):
        build(processed, tmp_path / str(number), PARAMS.model_copy(update=change))
        files = contents(tmp_path / str(number))
        assert len(files.pop("splits.safetensors")) < 2000
        found.add(tuple(files.items()))
    assert len(found) == 1


def test_the_digest_follows_what_is_in_the_cache(processed, tmp_path):
    digests = set()
    for number, change in enumerate(({}, {"fold": 1}, {"stride": 5}, {"folds": 3})):
        build(processed, tmp_path / str(number), PARAMS.model_copy(update=change))
        digests.add(open_cache(tmp_path / str(number)).metadata["digest"])
    assert len(digests) == 4


def test_data_without_series_has_windows_of_one_row(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    convert_folder(tmp_path / "raw", tmp_path / "processed", series=None, extra=["recording"])
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    assert cache.metadata["window"] == 1
    assert len(cache.starts["test"]) == 120


def test_without_a_group_rows_are_dealt_out_class_by_class(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    extra = ["recording", "subject"]
    convert_folder(tmp_path / "raw", tmp_path / "processed", series=None, group=None, extra=extra)
    tested = []
    for fold in range(4):
        build(tmp_path / "processed", tmp_path / "cache", PARAMS.model_copy(update={"fold": fold}))
        cache = open_cache(tmp_path / "cache")
        assert torch.bincount(cache.label.to("cpu")[cache.starts["test"]]).tolist() == [60, 60]
        assert len(cache.starts["train"]) == 240
        tested += cache.starts["test"].tolist()
    assert sorted(tested) == list(range(480))
    assert tested[:120] != list(range(0, 480, 4)), "shuffled"


@pytest.mark.parametrize("least_rows", [1, 1000], ids=["moments by group", "moments of rows"])
def test_without_a_group_recordings_are_dealt_out_whole(tmp_path, monkeypatch, least_rows):
    monkeypatch.setattr("pipeline.tensor_cache.normalising.LEAST_ROWS", least_rows)
    write_tiny_recordings(tmp_path / "raw")
    convert_folder(tmp_path / "raw", tmp_path / "processed", group=None, extra=["subject"])
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    starts = cache.starts
    assert cache.metadata["group"] is None
    recordings = {split: set((first_rows // 60).tolist()) for split, first_rows in starts.items()}
    assert set.union(*recordings.values()) == set(range(8))
    assert sorted(map(len, recordings.values())) == [2, 2, 4]
    recording_T = cache.segment_groups.repeat_interleave(cache.segment_edges.diff())
    training = torch.tensor(cache.metadata["split"]["train"])
    torch.testing.assert_close(cache.mean, cache.signal.to("cpu")[torch.isin(recording_T, training)].mean(0))
    with pytest.raises(UserError, match=r"tensor_cache\.folds is 9; expected at most 8, the recordings"):
        build(tmp_path / "processed", tmp_path / "cache", PARAMS.model_copy(update={"folds": 9}))


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
    torch.testing.assert_close(whole.mean, held_out.signal.to("cpu")[groups_T != tested].mean(0))


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


def starts_per_file(raw, folder):
    """The starts of all windows, as (subject, row within the CSV files of that subject)."""
    convert_folder(raw, folder / "processed", MANY_REJECTED)
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


def test_a_constant_column_is_left_as_it_is():
    rows = {"signal": np.full((10, 1), 3.0, np.float32), "label": np.zeros(10, np.int64)}
    mean, std = mean_and_std([moments_of_rows(rows, np.ones(10, bool))])
    assert (mean.item(), std.item()) == (3.0, 1.0)


def test_row_groups_do_not_show_in_the_cache(processed, tmp_path, monkeypatch):
    monkeypatch.setattr("pipeline.parquet.blocks.BLOCK_BYTES", 700)
    convert_folder(tmp_path / "raw", tmp_path / "parts")
    for folder in (processed, tmp_path / "parts"):
        build(folder, tmp_path / f"{folder.name} cache", PARAMS)
    one, other = (open_cache(tmp_path / f"{name} cache") for name in ("processed", "parts"))
    assert pq.ParquetFile(tmp_path / "parts/rows/subject_1.csv.0000.parquet").num_row_groups > 3
    assert torch.equal(one.label.to("cpu"), other.label.to("cpu"))
    assert torch.equal(one.signal.to("cpu"), other.signal.to("cpu"))
    torch.testing.assert_close(one.mean, other.mean)
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
    rows = convert_folder(tmp_path / "raw", tmp_path / "processed", features=features)
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    profile = json.loads((tmp_path / "processed/profile.json").read_text())
    assert (profile["columns"]["ax"]["nulls"], profile["columns"]["ax"]["count"]) == (2, 478)
    cache = open_cache(tmp_path / "cache")
    assert cache.signal.to("cpu")[:, 0].isnan().nonzero().flatten().tolist() == [124, 125]
    assert cache.metadata["missing"]
    training = rows.filter(pl.col("subject").is_in(cache.metadata["split"]["train"]))
    assert cache.mean[0] == pytest.approx(training["ax"].mean())


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
    convert_folder(tmp_path / "raw", tmp_path / "processed", features=[{"name": name} for name in names])
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


def test_categories_and_times_are_channels_and_what_is_missing_is_their_mean(tmp_path):
    lines = [
        f"{person},{person},{'red' if row % 2 else ''},{86400 * row},0.5,up"
        for person in range(4)
        for row in range(4)
    ]
    raw = write_csv(tmp_path / "raw", *lines)
    color = {"name": "ax", "kind": "category", "categories": ["red", "blue"], "missing": "mean"}
    features = [color, {"name": "ay", "kind": "time", "parts": ["weekday", "days"]}, {"name": "az"}]
    convert_folder(raw, tmp_path / "processed", features=features)
    build(tmp_path / "processed", tmp_path / "cache", Params(window=2, stride=1, folds=4, fold=0, validation=True))
    cache = open_cache(tmp_path / "cache")
    assert cache.signal.shape == (16, 5)
    assert cache.mean.tolist() == [1.0, 0.0, 4.5, 1.5, 0.5], "red, blue, weekday, days, az"
    windows, _ = WindowDataset(cache, "test").batch(torch.arange(1))
    assert windows[0, 0, :2].eq(0).all(), "an empty field is the mean of either channel"
    assert cache.metadata["features"][0]["categories"] == ["red", "blue"]
    assert cache.metadata["features"][2] == {"name": "az", "unit": "", "range": None, "missing": "reject"}


def test_amounts_keep_their_units_and_those_of_the_middle_row_belong_to_a_window(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    targets = [{"name": "az", "unit": "g"}, {"name": "ay"}]
    convert_folder(
        tmp_path / "raw", tmp_path / "processed", features=[{"name": "ax"}], targets=targets, extra=["label"]
    )
    build(tmp_path / "processed", tmp_path / "cache", PARAMS)
    cache = open_cache(tmp_path / "cache")
    assert (cache.task, cache.metadata["targets"]) == (
        "regression",
        [{"name": "az", "unit": "g"}, {"name": "ay", "unit": ""}],
    )
    assert "classes" not in cache.metadata
    rows = pl.read_parquet(tmp_path / "processed/rows")
    raw_TK = rows.select("az", "ay").to_numpy()
    assert (cache.label.to("cpu").numpy() == raw_TK).all()
    training = rows["subject"].is_in(cache.metadata["split"]["train"]).to_numpy()
    np.testing.assert_allclose(cache.target_mean, raw_TK[training].mean(0), rtol=1e-5)
    np.testing.assert_allclose(cache.target_std, raw_TK[training].std(0), rtol=1e-5)
    _, labels = WindowDataset(cache, "val").batch(torch.tensor([1]))
    assert (labels[0].numpy() == raw_TK[cache.starts["val"][1] + 10]).all()
    standard_TK = cache.with_standard_targets().label[torch.from_numpy(training)]
    assert standard_TK.mean(0).abs().max() < 1e-5
