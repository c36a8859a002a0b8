"""Figures are compared as numbers, wherever they stand; everything else must be the same."""

import math

import pytest

from trackstack.reproduction.figures import difference_of_files, largest_difference


@pytest.mark.parametrize(
    ("before", "now", "difference"),
    [
        ({"a": 1.0, "b": [2, {"c": math.nan}]}, {"a": 1.0, "b": [2, {"c": math.nan}]}, 0.0),
        ({"a": 100.0, "b": 1.0}, {"a": 101.0, "b": 1.0}, 1 / 101),
        ([math.inf], [math.inf], 0.0),
        ([math.inf], [1.0], math.inf),
        ([1.0], [math.nan], math.inf),
        ({"a": 1}, {"b": 1}, None),
        ([1, 2], [1], None),
        ({"a": "x"}, {"a": "y"}, None),
        ({"a": True}, {"a": 1}, None),
        ({"a": None}, {"a": None}, 0.0),
        ([10**400], [1.0], math.inf),
    ],
)
def test_the_largest_relative_difference_is_found_in_values_of_the_same_shape(before, now, difference):
    assert largest_difference(before, now) == difference


def test_tables_and_json_and_yaml_are_read_as_figures_and_other_files_are_not():
    assert difference_of_files("a.csv", b"step,loss\n0,0.5\n", b"step,loss\n0,0.50\n") == 0.0
    assert difference_of_files("a.tsv", b"step\tloss\n0\t1\n", b"step\tloss\n0\t2\n") == 0.5
    assert difference_of_files("a.csv", b"a,b\n", b"a,c\n") == math.inf
    assert difference_of_files("a.json", b'{"a": 1}', b'{"a": 1.0}') == 0.0
    assert difference_of_files("a.json", b'{"a": 1}', b'{"a": ') is None
    assert difference_of_files("a.yaml", b"a: 4\n", b"a: 5\n") == 0.2
    assert difference_of_files("model.bin", b"1", b"1") is None
    assert difference_of_files("a.csv", b"\xff", b"\xff") is None


@pytest.mark.parametrize(("before", "now"), [("007", "7"), ("12e45678", "34e56789"), ("1_000", "1000"), ("a", "b")])
def test_a_name_that_looks_like_a_number_is_none(before, now):
    assert difference_of_files("a.csv", before.encode(), now.encode()) == math.inf
