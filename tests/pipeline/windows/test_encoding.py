"""Columns become channels: numbers as they are, a channel for each category, the parts of a time."""

from datetime import UTC, datetime

import numpy as np
import pytest

from pipeline.windows.encoding import channel_names, encode

COLOR = {"name": "color", "kind": "category", "categories": ["red", "green"]}
STAMP = {"name": "stamp", "kind": "time", "parts": ["hour", "weekday", "month", "days"]}


def test_channels_are_named_after_their_feature_and_what_they_hold():
    features = [{"name": "size"}, COLOR, STAMP | {"parts": ["month"]}]
    assert channel_names(features) == ["size", "color=red", "color=green", "stamp.month"]


def test_numbers_keep_their_bytes():
    values = np.array([0.1, np.nan, -3], np.float32)
    encoded = encode({"a": values, "b": values}, [{"name": "b"}, {"name": "a"}])
    assert encoded.dtype == np.float32
    assert encoded.tobytes() == np.column_stack([values, values]).tobytes()


@pytest.mark.parametrize("missing", [None, float("nan"), "blue", "Red", ""])
def test_a_value_that_is_no_category_is_missing_in_every_channel(missing):
    values = np.array(["green", missing, "red"], object)
    np.testing.assert_array_equal(encode({"color": values}, [COLOR]), [[0, 1], [np.nan, np.nan], [1, 0]])


@pytest.mark.parametrize(
    ("when", "expected"),
    [
        (datetime(1970, 1, 1, tzinfo=UTC), [0, 3, 1, 0]),
        (datetime(1969, 12, 31, 18, tzinfo=UTC), [18, 2, 12, -0.25]),
        (datetime(2024, 2, 29, 12, 30, tzinfo=UTC), [12.5, 3, 2, 19782 + 12.5 / 24]),
        (datetime(2026, 11, 29, 23, 59, 59, tzinfo=UTC), [24 - 1 / 3600, 6, 11, 20786 + 1 - 1 / 86400]),
    ],
)
def test_a_time_has_the_parts_of_the_calendar(when, expected):
    encoded = encode({"stamp": np.array([when.timestamp(), np.nan])}, [STAMP])
    assert encoded[0] == pytest.approx(expected, rel=1e-6)
    assert np.isnan(encoded[1]).all()
