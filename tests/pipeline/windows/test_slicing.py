"""Windows begin at every stride and stay within their range of rows."""

import numpy as np

from pipeline.windows.slicing import window_starts


def test_a_segment_shorter_than_a_window_has_none():
    begins, ends = np.array([0, 3, 10, 11]), np.array([3, 10, 11, 15])
    assert window_starts(begins, ends, window=4, stride=2).tolist() == [3, 5, 11]
    assert window_starts(begins[:1], ends[:1], window=4, stride=2).tolist() == []
