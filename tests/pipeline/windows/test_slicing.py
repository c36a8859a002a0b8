"""Windows begin at every stride and stay within their range of rows; what is missing is the mean."""

import numpy as np

from pipeline.windows.slicing import normalise, window_starts


def test_a_segment_shorter_than_a_window_has_none():
    begins, ends = np.array([0, 3, 10, 11]), np.array([3, 10, 11, 15])
    assert window_starts(begins, ends, window=4, stride=2).tolist() == [3, 5, 11]
    assert window_starts(begins[:1], ends[:1], window=4, stride=2).tolist() == []


def test_a_missing_value_is_the_mean():
    rows = np.array([[1, 5], [np.nan, 7]], np.float32)
    assert normalise(rows, np.array([3, 5], np.float32), np.array([2, 1], np.float32)).tolist() == [[-1, 0], [0, 2]]
