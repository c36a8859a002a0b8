"""Shuffling a cache that is read from disk: every window once, in runs, the same for the same seed."""

import pytest
import torch
from conftest import TINY_ENTRY, write_tiny_recordings

from trackstack.catalog import Dataset
from trackstack.cold_shuffle import shuffle_from_disk
from trackstack.ingest import build_manifest
from trackstack.params import ParquetParams, TensorCacheParams
from trackstack.parquet import convert
from trackstack.tensor_cache import build
from trackstack.windows import WindowDataset, open_cache


@pytest.fixture
def cache(tmp_path):
    write_tiny_recordings(tmp_path / "raw")
    manifest = build_manifest("tiny", Dataset.model_validate(TINY_ENTRY), tmp_path / "raw")
    convert(manifest, tmp_path / "raw", tmp_path / "processed", ParquetParams(compression="zstd", max_rejected=0))
    build(
        tmp_path / "processed",
        tmp_path / "cache",
        TensorCacheParams(window=4, stride=1, folds=4, fold=0, validation=True),
    )
    return tmp_path / "cache"


def epoch(cache, seed, **sizes):
    dataset = WindowDataset(open_cache(cache), "train")
    generator = torch.Generator().manual_seed(seed)
    return len(dataset), list(shuffle_from_disk(dataset, cache / "tensors.safetensors", 16, generator, **sizes))


@pytest.mark.parametrize(
    "sizes", [{}, {"run_bytes": 1, "runs_at_a_time": 1}, {"run_bytes": 120, "runs_at_a_time": 5}]
)
def test_an_epoch_has_every_window_once_in_full_batches(cache, sizes):
    num_windows, batches = epoch(cache, 0, **sizes)
    assert sorted(torch.cat(batches).tolist()) == list(range(num_windows))
    assert [len(batch) for batch in batches] == [16] * (num_windows // 16) + [num_windows % 16] * (
        num_windows % 16 > 0
    )


def test_a_seed_decides_the_order(cache):
    sizes = {"run_bytes": 120, "runs_at_a_time": 5}
    _, one = epoch(cache, 1, **sizes)
    assert all(torch.equal(a, b) for a, b in zip(one, epoch(cache, 1, **sizes)[1], strict=True))
    assert not torch.equal(one[0], epoch(cache, 2, **sizes)[1][0])


def test_windows_are_mixed_within_a_few_runs_at_a_time(cache):
    # A row has 12 bytes and windows begin a row apart, so that a run of 120 bytes has ten.
    num_windows, batches = epoch(cache, 3, run_bytes=120, runs_at_a_time=4)
    run_W = torch.cat(batches) // 10
    first_mixes = [run_W[begin : begin + 40] for begin in range(0, num_windows - 80, 40)]
    assert len(first_mixes) >= 2
    for mixed in first_mixes:
        assert len(mixed.unique()) <= 8, "four runs, or a part of two mixes: a full shuffle would have some twenty"
        stays = (mixed[1:] == mixed[:-1]).double().mean()
        assert stays < 0.6, "a shuffle stays in its run one time in four; runs one after another nearly always"
