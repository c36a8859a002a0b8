"""The log of a search: what a kill has cut short was never decided, and what is damaged is one line."""

import json
import resource

import pytest
from support.searches import BEGIN, at_rung, promoted, search_in, suggested

from trackstack import UserError
from trackstack.cluster.search.log import DecisionLog, opened, read_events
from trackstack.cluster.search.looks import read_state


def test_a_torn_line_is_removed_by_whoever_writes_next_and_ignored_by_whoever_reads(tmp_path, capfd):
    path = tmp_path / "decisions.jsonl"
    lines = [BEGIN, suggested(0), at_rung(0, 0.5), promoted(0)]
    DecisionLog(path).append(*lines)
    whole = path.read_bytes()
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        known = whole[:size].count(b"\n")
        assert read_events(path) == lines[:known]
        with opened(path) as log:
            log.append(promoted(7))
            assert log.events == [*lines[:known], promoted(7)]
        assert read_events(path) == [*lines[:known], promoted(7)]
    assert "its last line was cut short, and is removed" in capfd.readouterr().err


def test_what_a_full_disk_takes_a_part_of_counts_as_written_by_nobody(tmp_path):
    path = tmp_path / "decisions.jsonl"
    DecisionLog(path).append(BEGIN)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)  # acts as a disk that is about to be full
    log = DecisionLog(path)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 7, limits[1]))
    try:
        with pytest.raises(OSError, match="too large"):
            log.append(suggested(0))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert log.events == DecisionLog(path).events == [BEGIN]


@pytest.mark.parametrize("damage", ["{", "[]", "3", '{"trial": 1}', "\0\0\0", "", '{"event": "begin"'])
def test_a_damaged_line_is_named_by_its_number(tmp_path, damage):
    path = tmp_path / "decisions.jsonl"
    path.write_text(f"{json.dumps(BEGIN)}\n{damage}\n{json.dumps(suggested(0))}\n")
    with pytest.raises(UserError, match=r"line 2 is damaged; put the file back as it was, or begin another search"):
        read_events(path)
    path.write_bytes(b'{"event": "\xff"}\n')
    with pytest.raises(UserError, match="line 1 is damaged"):
        read_events(path)


@pytest.mark.parametrize(
    "line",
    [promoted(1), at_rung(0, 0.5, member=3), suggested(2), {"event": "promote"}, {"event": "begin"}, {"event": "x"}],
)
def test_a_line_that_does_not_fit_those_before_it_is_named(tmp_path, line):
    """As after a merge of two logs, or when a line between was lost."""
    search = search_in(tmp_path)
    DecisionLog(search.log).append(suggested(0), line)
    with pytest.raises(UserError, match="line 3 does not fit those before it; put the file back") as caught:
        read_state(search)
    assert "\n" not in str(caught.value)


def test_no_log_is_no_event(tmp_path):
    assert read_events(tmp_path / "decisions.jsonl") == []
