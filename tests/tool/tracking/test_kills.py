"""kill -9 at random instants, in short; benchmarks/tracking_kills.py does it many times."""

import random

import pytest
from support.recording import after_sync, kill_while_logging, kill_while_syncing


def test_after_kills_of_all_kinds_every_point_is_in_every_back_end_once(tmp_path):
    pytest.importorskip("wandb")
    instants = random.Random(7)
    assert (
        kill_while_logging(tmp_path, {"run-1": "parent", "run-2": "child", "run-3": "both"}, instants, seconds=6) >= 2
    )
    kill_while_syncing(tmp_path, after=instants.uniform(1, 6))
    expected, found = after_sync(tmp_path)
    assert len(expected) > 100
    assert sorted(found) == ["mlflow", "sqlite", "tensorboard", "wandb"]
    for name, points in found.items():
        assert points == expected, name
