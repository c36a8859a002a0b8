"""Batches come in the order of their indices, from the device's memory and through the staging thread."""

import pytest
import torch

from pipeline.train.loader import load, resident
from pipeline.windows.dataset import WindowDataset, open_cache


@pytest.fixture
def windows(tiny_project):
    return WindowDataset(open_cache(tiny_project / "data/cache"), "train")


# `cpu:0` is the CPU under another name, so that batches are staged as for a GPU that is too small for the signal.
@pytest.mark.parametrize("device", ["cpu", "cpu:0"])
def test_batches_come_in_the_order_of_their_indices(windows, device):
    indices = list(torch.randperm(len(windows)).split(3))
    loaded = list(load(windows, indices, torch.device(device)))
    assert len(loaded) == len(indices)
    for index, (signals, labels) in zip(indices, loaded, strict=True):
        expected_signals, expected_labels = windows.batch(index)
        assert torch.equal(signals, expected_signals)
        assert torch.equal(labels, expected_labels)


def test_a_loop_that_ends_early_leaves_no_thread(windows):
    for _ in load(windows, list(torch.arange(len(windows)).split(1)), torch.device("cpu:0")):
        break


def test_on_the_cpu_the_cache_stays_the_mapped_file(tiny_project):
    cache = open_cache(tiny_project / "data/cache")
    assert resident(cache, torch.device("cpu")) is cache
