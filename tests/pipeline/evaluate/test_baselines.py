"""Baselines see the training windows alone, and are the same each time."""

import numpy as np
import pytest
import torch

from pipeline.evaluate import baselines as module
from pipeline.evaluate.baselines import baselines, summaries
from pipeline.windows.dataset import TensorCache, WindowDataset


def splits(rows, label, window=1):
    """Training and test windows, one after the other, half of them each."""
    starts = torch.arange(0, len(rows) - window + 1, window)
    zeros = torch.zeros(rows.shape[1])
    halves = {"train": starts[::2], "test": starts[1::2]}
    cache = TensorCache(torch.from_numpy(rows), torch.from_numpy(label), halves, zeros, zeros + 1, {"window": window})
    return WindowDataset(cache, "train"), WindowDataset(cache, "test")


@pytest.fixture
def rows():
    return np.random.default_rng(0).normal(size=(800, 2)).astype(np.float32)


def test_trees_find_what_the_most_frequent_class_does_not(rows):
    frequent, trees = baselines(*splits(rows, (rows[:, 0] * rows[:, 1] > 0.1).astype(np.int64)), "classification")
    assert frequent.first < 0.7
    assert trees.first > 0.9
    assert (frequent.windows, trees.windows) == (400, 400)


@pytest.mark.parametrize("targets", [1, 2])
def test_amounts_are_measured_against_the_mean(rows, targets):
    amounts = np.column_stack([rows[:, 0] ** 2, rows[:, 1]])[:, :targets].astype(np.float32)
    mean, trees = baselines(*splits(rows, amounts), "regression")
    assert mean.first == pytest.approx(0, abs=0.05)
    assert trees.first > 0.6
    assert trees.second < mean.second


def test_of_windows_they_see_mean_deviation_and_extremes(rows):
    _, test = splits(rows, np.zeros(800, np.int64), window=4)
    seen = summaries(test)
    window = rows[4:8]
    expected = np.concatenate([window.mean(0), window.std(0), window.min(0), window.max(0)])
    assert seen.shape == (100, 8)
    np.testing.assert_allclose(seen[0], expected, rtol=1e-5)


def test_of_many_windows_every_nth_is_taken_and_the_result_repeats(rows, monkeypatch):
    monkeypatch.setattr(module, "MOST_WINDOWS", 150)
    windows = splits(rows, (rows[:, 0] > 0).astype(np.int64))
    first = baselines(*windows, "classification")
    assert first[1].windows == 134
    assert baselines(*windows, "classification") == first


def test_training_windows_of_one_class_have_no_trees(rows):
    label = np.arange(800) % 2
    frequent, trees = baselines(*splits(rows, label.astype(np.int64)), "classification")
    assert (frequent.first, trees.first) == (0, 0)
