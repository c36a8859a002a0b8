"""kill -9 at random instants, in short; benchmarks/tracking_kills.py does it many times."""

import random

import pytest
from tracking_runs import (
    EVERYTHING,
    in_back_ends,
    in_journals,
    kill_while_logging,
    kill_while_syncing,
    trackstack,
    wait_until_nobody_delivers,
)


def test_after_kills_of_all_kinds_every_point_is_in_every_back_end_once(tmp_path):
    pytest.importorskip("wandb")
    instants = random.Random(7)
    kill_while_logging(tmp_path, {"run-1": "parent", "run-2": "child", "run-3": "both"}, instants, seconds=6)
    for _ in range(2):
        kill_while_syncing(tmp_path, after=instants.uniform(1, 6))
    wait_until_nobody_delivers(tmp_path)
    trackstack(tmp_path, "sync")
    expected = sorted(in_journals(tmp_path))
    assert len(expected) > 100
    for name, found in in_back_ends(tmp_path, EVERYTHING).items():
        assert found == expected, name
