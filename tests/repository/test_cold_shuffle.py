"""Shuffling a cache that is read from disk: every window once, in runs, the same for the same seed."""

import importlib

import pytest
import torch
from support.conversion import convert_folder
from support.projects import ROOT, write_tiny_recordings

from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.stage import build
from pipeline.windows.dataset import WindowDataset, open_cache


@pytest.fixture
def shuffle_from_disk(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    return importlib.import_module("cold_shuffle").shuffle_from_disk


@pytest.fixture
def cache(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    convert_folder(tmp_path / "raw", tmp_path / "processed")
    params = Params(window=4, stride=1, folds=4, fold=0, validation=True)
    build(tmp_path / "processed", tmp_path / "cache", params)
    return tmp_path / "cache"


@pytest.fixture
def epoch(cache, shuffle_from_disk):
    """The batches of an epoch, and how many windows there are."""

    def batches(seed, **sizes):
        dataset = WindowDataset(open_cache(cache), "train")
        generator = torch.Generator().manual_seed(seed)
        order = shuffle_from_disk(dataset, cache, 16, generator, **sizes)
        return len(dataset), list(order)

    return batches


@pytest.mark.parametrize(
    "sizes", [{}, {"run_bytes": 1, "runs_at_a_time": 1}, {"run_bytes": 120, "runs_at_a_time": 5}]
)
def test_an_epoch_has_every_window_once_in_full_batches(epoch, sizes):
    num_windows, batches = epoch(0, **sizes)
    assert sorted(torch.cat(batches).tolist()) == list(range(num_windows))
    assert [len(batch) for batch in batches] == [16] * (num_windows // 16) + [num_windows % 16] * (
        num_windows % 16 > 0
    )


def test_a_seed_decides_the_order(epoch):
    sizes = {"run_bytes": 120, "runs_at_a_time": 5}
    _, order = epoch(1, **sizes)
    assert all(torch.equal(a, b) for a, b in zip(order, epoch(1, **sizes)[1], strict=True))
    assert not torch.equal(order[0], epoch(2, **sizes)[1][0])


def test_windows_are_mixed_within_a_few_runs_at_a_time(epoch):
    # A row has 12 bytes and windows begin a row apart, so that a run of 120 bytes has ten.
    num_windows, batches = epoch(3, run_bytes=120, runs_at_a_time=4)
    run_W = torch.cat(batches) // 10
    first_mixes = [run_W[begin : begin + 40] for begin in range(0, num_windows - 80, 40)]
    assert len(first_mixes) >= 2
    for mixed in first_mixes:
        assert len(mixed.unique()) <= 8, "four runs, or a part of two mixes: a full shuffle would have some twenty"
        stays = (mixed[1:] == mixed[:-1]).double().mean()
        assert stays < 0.6, "a shuffle stays in its run one time in four; runs one after another nearly always"
