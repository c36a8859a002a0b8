"""Within a file the rows of a series stand together, and its time rises; rows that break it are set aside."""

import pytest
from support.conversion import MANY_REJECTED, convert_folder, rejected, write_bytes, write_csv

from pipeline.parquet import blocks

TIMED = "recording,subject,ax,ay,az,label,t"


def came_back(line):
    return f"it ended in line {line}; the rows of one recording stand together"


def not_later(value):
    return f"not later than {value}, an earlier row's"


@pytest.mark.parametrize("block", [1, 40, 1000])
@pytest.mark.parametrize(
    ("rows", "bad"),
    [
        # (recording, t) of each row, and what becomes of those that are rejected
        ([(1, 1), (1, 2), (2, 1), (2, 1.5)], {}),
        ([(1, 1), (2, 1), (1, 2), (1, 3), (2, 2)], {4: came_back(2), 5: came_back(2)}),
        ([(1, 1), (2, 1), (3, 1), (2, 2), (3, 2), (1, 9)], {5: came_back(3), 7: came_back(2)}),
        ([(1, 1), (1, 1), (1, 2)], {3: not_later("1.0")}),
        ([(1, 5), (1, 1), (1, 5), (1, 6)], {3: not_later("5.0"), 4: not_later("5.0")}),
        ([(1, 5), (2, 1), (2, 0.5)], {4: not_later("1.0")}),
    ],
)
def test_rows_of_a_series_stand_together_and_its_time_rises(tmp_path, monkeypatch, rows, bad, block):
    monkeypatch.setattr(blocks, "BLOCK_BYTES", block)
    lines = [f"{recording},1,0.5,1,2,up,{t}" for recording, t in rows]
    raw = write_csv(tmp_path / "raw", *lines, header=TIMED)
    write_bytes(raw, (tmp_path / "raw/a.csv").read_bytes(), "b.csv")  # another file may number them alike
    accepted = convert_folder(raw, tmp_path / "out", MANY_REJECTED, time="t")
    one_file = {int(line): reason for file, line, _, _, reason in rejected(tmp_path / "out") if file == "b.csv"}
    assert one_file == bad
    assert len(rejected(tmp_path / "out")) == 2 * len(bad)
    good = [row for line, row in enumerate(rows, start=2) if line not in bad]
    assert accepted.select("recording", "t").rows() == good + good


def test_order_is_not_looked_at_in_rows_that_are_rejected_anyway(tmp_path):
    lines = ["1,1,0.5,1,2,up,1", "2,1,bad,1,2,up,1", "1,1,0.5,1,2,up,2", "1,1,bad,1,2,up,9", "1,1,0.5,1,2,up,3"]
    raw = write_csv(tmp_path / "raw", *lines, header=TIMED)
    rows = convert_folder(raw, tmp_path / "out", MANY_REJECTED, time="t")
    assert rows["t"].to_list() == [1, 2, 3]
    assert rows["__line__"].to_list() == [2, 4, 6]
