"""An output beside the recorded one, whose bytes DVC's cache may still have."""

import json
from pathlib import Path

import pytest

from trackstack.reproduction.outputs import compare_output
from trackstack.reproduction.workplace import Workplace


@pytest.fixture
def place(tmp_path):
    """A workplace whose cache has a folder of a model and its figures."""
    put(tmp_path / "cache/files/md5/aa/1", b"weights")
    put(tmp_path / "cache/files/md5/bb/1", b'{"accuracy": 0.5}')
    files = [{"md5": "aa1", "relpath": "model.bin"}, {"md5": "bb1", "relpath": "metrics.json"}]
    put(tmp_path / "cache/files/md5/cc/1.dir", json.dumps(files).encode())
    put(tmp_path / "cache/dd/1", b"a,b\n1,2\n")
    return Workplace(tmp_path, tmp_path / "checkout", tmp_path / "cache")


def put(path: Path, content: bytes):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def outcome(place, before="cc1.dir", path="out"):
    return compare_output(path, {"md5": before}, {"md5": "other"}, place, 1e-6)


def test_figures_beside_other_bytes_are_compared_all_the_same(place):
    put(place.checkout / "out/model.bin", b"other")
    put(place.checkout / "out/metrics.json", b'{"accuracy": 0.9}')
    assert outcome(place)[:2] == ("out", "differs")
    assert outcome(place).has_figures
    put(place.checkout / "out/metrics.json", b'{"accuracy": 0.5000000001}')
    assert (outcome(place).detail, outcome(place).has_figures) == ("other bytes in out/model.bin", False)


def test_other_text_in_a_table_is_no_figure_that_is_near(place):
    put(place.checkout / "out/model.bin", b"weights")
    put(place.checkout / "out/metrics.json", b'{"accuracy": 0.5, "label": "up"}')
    assert outcome(place) == ("out", "differs", "other content in out/metrics.json", True)


def test_what_was_cached_before_dvc_3_is_compared(place):
    put(place.checkout / "a.csv", b"a,b\n1,2.0000001\n")
    assert outcome(place, "dd1", "a.csv").verdict == "equal"


def test_an_output_of_which_dvc_has_no_hash_is_not_identical(place):
    assert compare_output("out", {"etag": "1"}, {"etag": "1"}, place, 1e-6).verdict == "not recorded"
