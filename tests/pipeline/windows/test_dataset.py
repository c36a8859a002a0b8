"""Windows gathered from the strided view are the rows of the signal, fast or one by one."""

import importlib

import numpy as np
import pytest
import torch
from support.damage import FLIPS, damage
from support.projects import ROOT

from pipeline.tensor_cache.safetensors_writer import Tensor, write_tensors
from pipeline.windows.dataset import TensorCache, WindowDataset, open_cache, refuse_damage
from pipeline.windows.layout import SPLITS
from trackstack import UserError


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
    dataset = WindowDataset(cache, "train")
    windows, labels = dataset.batch(torch.arange(len(dataset)))
    for index in range(len(dataset)):
        window, label = dataset[index]
        assert torch.equal(window, windows[index])
        assert label == labels[index]


def test_an_ordinary_dataloader_can_be_used(cache):
    dataset = WindowDataset(cache, "train")
    loaded = list(torch.utils.data.DataLoader(dataset, batch_size=3))
    windows, labels = dataset.batch(torch.arange(4))
    assert torch.equal(torch.cat([batch for batch, _ in loaded]), windows)
    assert torch.equal(torch.cat([batch for _, batch in loaded]), labels)


def test_no_window_is_copied_before_it_is_asked_for(cache):
    assert WindowDataset(cache, "train")._windows.data_ptr() == cache.signal.data_ptr()


def test_a_missing_or_damaged_cache_is_one_line(tmp_path):
    with pytest.raises(UserError, match="no such file; type: dvc repro tensor_cache"):
        open_cache(tmp_path)
    (tmp_path / "tensors.safetensors").write_bytes(b"not tensors at all")
    with pytest.raises(
        UserError, match=r"not a tensor cache .*; type: trackstack repair .* && dvc repro --force tensor_cache"
    ):
        open_cache(tmp_path)


@pytest.mark.parametrize("how", FLIPS)
@pytest.mark.parametrize("amounts", [False, True])
def test_a_flipped_bit_of_the_cache_is_seen_before_it_is_trained_on(tmp_path, how, amounts):
    rows = np.arange(300, dtype=np.float32).reshape(100, 3)
    tensors = {"signal": rows, "label": np.arange(100), "mean": rows[0], "std": rows[1]}
    tensors |= {"segment_edges": np.array([0, 100]), "segment_groups": np.array([0])}
    tensors |= {f"starts_{name}": np.array([0, 20]) for name in SPLITS}
    metadata = {"window": 20, "classes": ["a", "b"]}
    if amounts:
        tensors |= {"label": rows[:, :1].copy(), "target_mean": rows[0, :1], "target_std": rows[1, :1]}
        metadata = {"window": 20, "targets": [{"name": "y"}], "task": "regression"}
    file = tmp_path / "tensors.safetensors"
    write_tensors(file, {name: Tensor.of(array) for name, array in tensors.items()}, metadata)
    refuse_damage(open_cache(tmp_path), tmp_path)
    damage(file, how)
    with pytest.raises(
        UserError, match=rf"^{file}: .*; type: trackstack repair .* && dvc repro --force tensor_cache$"
    ):
        refuse_damage(open_cache(tmp_path), tmp_path)


def test_the_benchmark_measures_a_cache_of_the_present_form(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    benchmark = importlib.import_module("cache")
    folder = benchmark.write_cache(tmp_path / "cache", 5000)
    ways = {row[1] for row in benchmark.compare_opening(folder, 1)}
    ways |= {row[1] for row in benchmark.compare_epochs(open_cache(folder), 64, 1)}
    assert {"ours", "safetensors", "DataLoader (the guide's way)"} <= ways
