"""Mean and spread are right whatever the offset, and the same when blocks are merged; null is not counted."""

import numpy as np
import pytest

from pipeline.contract.moments import Moments


def merged(*blocks):
    whole = Moments()
    for block in blocks:
        whole.merge(Moments.of(np.asarray(block, np.float32)))
    return whole


def test_a_large_offset_does_not_spoil_the_spread():
    column = 1e6 + np.arange(1000) % 2
    for blocks in ([column], [column[:300], column[300:]]):
        assert merged(*blocks).std() == pytest.approx(0.5)


def test_nulls_are_counted_apart_and_blocks_of_nulls_change_nothing():
    expected = {"count": 3, "nulls": 3, "min": 1.0, "max": 6.0, "mean": 3.0, "std": np.sqrt(14 / 3)}
    assert merged([1, np.nan], [], [np.nan, np.nan], [2, 6]).as_json() == pytest.approx(expected)
    assert merged([np.nan]).as_json() == {"count": 0, "nulls": 1}
