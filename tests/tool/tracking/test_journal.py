"""A line that nobody can use is damaged, and in the way of no other."""

import pytest

from trackstack.records.query import list_runs
from trackstack.tracking.journal import line_of, parse_line
from trackstack.tracking.run import start_run

POINT = {"type": "metrics", "time": 1.0, "step": 0, "values": {"loss": 0.5}}


@pytest.mark.parametrize(
    "wrong",
    [
        {"values": {"loss": 10**309}},
        {"values": {"loss": "0.5"}},
        {"values": {"loss": None}},
        {"values": [0.5]},
        {"step": 2**63},
        {"step": None},
        {"step": float("nan")},
        {"time": "now"},
    ],
)
def test_a_point_that_no_back_end_can_hold_is_damaged(wrong):
    assert parse_line(line_of(POINT)) == POINT
    assert parse_line(line_of(POINT | wrong)) is None


def test_half_a_character_is_written_out_and_a_whole_one_stays():
    """As in a file's name of another encoding, which no database takes."""
    record = {"type": "end", "time": 1.0, "status": "failed", "error": "caf\udce9 \U0001f600"}
    assert parse_line(line_of(record))["error"] == "caf\\udce9 \U0001f600"


def test_a_home_with_such_a_line_lists_its_runs(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    with start_run("mine", {"file": "caf\udce9"}) as run:
        run.log({"loss": 0.5}, 0)
        run._journal.write(POINT | {"values": {"loss": 10**400}, "step": 1})
    (found,) = list_runs(tmp_path)
    assert (found["run"], found["metrics"], found["params"]) == (run.id, {"loss": 0.5}, {"file": "caf\\udce9"})
    assert found["damage"] == [f"{run._journal.path}: line 3 is damaged, and left out"]
