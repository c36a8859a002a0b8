"""Windows gathered from the strided view are the rows of the signal, fast or one by one."""

import dataclasses
import importlib
import itertools

import pytest
import torch
from support.conversion import convert_folder
from support.projects import ROOT, write_tiny_recordings

from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.stage import build
from pipeline.windows import dataset
from pipeline.windows.cache_files import ROWS
from pipeline.windows.dataset import TensorCache, WindowDataset, open_cache
from pipeline.windows.parted_rows import join_rows
from trackstack import UserError

PARAMS = Params(window=20, stride=10, folds=4, fold=0, validation=True)


@pytest.fixture
def cache():
    signal = torch.arange(100 * 3, dtype=torch.float32).view(100, 3)
    starts = torch.tensor([0, 10, 33, 80])
    metadata = {"window": 20}
    return TensorCache(signal, torch.arange(100), {"train": starts}, torch.zeros(3), torch.ones(3), metadata)


def test_a_batch_is_the_rows_and_the_middle_label(cache):
    windows, labels = WindowDataset(cache, "train").batch(torch.tensor([3, 0, 2]))
    for window, label, start in zip(windows, labels, [80, 0, 33], strict=True):
        assert torch.equal(window, cache.signal[start : start + 20])
        assert label == start + 10


def test_indexing_gives_what_a_batch_gives(cache):
    split = WindowDataset(cache, "train")
    windows, labels = split.batch(torch.arange(len(split)))
    for index in range(len(split)):
        window, label = split[index]
        assert torch.equal(window, windows[index])
        assert label == labels[index]


def test_an_ordinary_dataloader_can_be_used(cache):
    split = WindowDataset(cache, "train")
    loaded = list(torch.utils.data.DataLoader(split, batch_size=3))
    windows, labels = split.batch(torch.arange(4))
    assert torch.equal(torch.cat([batch for batch, _ in loaded]), windows)
    assert torch.equal(torch.cat([batch for _, batch in loaded]), labels)


def test_windows_are_in_standard_deviations_and_what_is_missing_is_the_mean():
    signal = torch.tensor([[1, 5], [float("nan"), 7], [5, float("nan")]])
    mean, std = torch.tensor([3.0, 5.0]), torch.tensor([2.0, 1.0])
    cache = TensorCache(signal, torch.arange(3), {"new": torch.arange(2)}, mean, std, {"window": 2})
    windows, _ = WindowDataset(cache, "new").batch(torch.arange(2))
    assert windows.tolist() == [[[-1, 0], [0, 2]], [[0, 2], [1, 0]]]
    assert signal[0].tolist() == [1, 5], "the signal stays as it was measured"


@pytest.mark.parametrize("edges", [[0, 1000], [0, 5, 400, 1000]], ids=["one file", "several"])
@pytest.mark.parametrize("channels", [1, 3, 7])
def test_windows_of_a_large_signal_are_those_of_a_small_one_to_the_last_bit(channels, edges, monkeypatch):
    random = torch.Generator().manual_seed(0)
    signal = torch.randn(1000, channels, generator=random) * 1e3
    signal[torch.rand(signal.shape, generator=random) < 0.01] = float("nan")
    mean, std = torch.randn(channels, generator=random), torch.rand(channels, generator=random) + 0.1
    cache = TensorCache(signal, torch.arange(1000), {"new": torch.arange(980)}, mean, std, {"window": 20})
    small, small_labels = WindowDataset(cache, "new").batch(torch.arange(980))
    monkeypatch.setattr(dataset, "SMALL_BYTES", 0)
    pieces = list(itertools.pairwise(edges))
    rows = {name: join_rows([getattr(cache, name)[slice(*piece)] for piece in pieces]) for name in ROWS}
    split = WindowDataset(dataclasses.replace(cache, **rows), "new")
    large, large_labels = split.batch(torch.arange(980))
    assert torch.equal(small.view(torch.int32), large.view(torch.int32))
    assert torch.equal(small_labels, large_labels)
    assert torch.equal(small_labels, split.labels())


def test_a_small_signal_is_normalised_once_for_all_splits(cache):
    splits = [WindowDataset(cache, "train") for _ in range(2)]
    assert {split._windows.data_ptr() for split in splits} == {cache.standard_signal.data_ptr()}


def test_of_a_large_signal_no_window_is_copied_before_it_is_asked_for(cache, monkeypatch):
    monkeypatch.setattr(dataset, "SMALL_BYTES", 0)
    assert WindowDataset(cache, "train")._windows.data_ptr() == cache.signal.data_ptr()


def test_a_missing_or_damaged_cache_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file; type: dvc repro tensor_cache"):
        open_cache(tmp_path)
    (tmp_path / "splits.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(
        UserError, match=r"not a tensor cache .*; type: trackstack repair .* && dvc repro --force tensor_cache"
    ):
        open_cache(tmp_path)


def test_the_files_must_belong_together(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    for name, features in (("one", ["ax", "ay", "az"]), ("other", ["ax", "ay"])):
        extra = ["az"] if "az" not in features else []
        convert_folder(tmp_path / "raw", tmp_path / "rows", features=[{"name": f} for f in features], extra=extra)
        build(tmp_path / "rows", tmp_path / name, PARAMS)
    (tmp_path / "one/splits.safetensors").replace(tmp_path / "other/splits.safetensors")
    with pytest.raises(
        UserError, match=r"splits.safetensors: not a tensor cache \(of another segments.safetensors\)"
    ):
        open_cache(tmp_path / "other")


def test_the_benchmark_measures_a_cache_of_the_present_form(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module("cache")
    folder = benchmark.write_cache(tmp_path / "cache", 5000)
    ways = {row[1] for row in benchmark.compare_opening(folder, 1)}
    ways |= {row[1] for row in benchmark.compare_epochs(open_cache(folder), 64, 1)}
    assert {"ours", "safetensors", "DataLoader (the guide's way)"} <= ways
