"""The .ts files of the time-series archives: a line per case becomes a recording."""

import pytest
from support.tables import write

from pipeline.import_data.reading.series_archive import read_series_archive

HEAD = "# own\n@problemName X\n@timeStamps false\n@classLabel true a b\n@data\n"
STAMPED = HEAD.replace("timeStamps false", "timeStamps true")


def test_cases_become_recordings_of_their_own_length(tmp_path):
    frame = read_series_archive(write(tmp_path / "X_TRAIN.ts", f"{HEAD}1,2,?:4,5,6:a\n7:8:b\n"))
    assert frame.columns == ["x1", "x2", "recording", "label"]
    assert frame.rows() == [
        ("1", "4", "X_TRAIN_1", "a"),
        ("2", "5", "X_TRAIN_1", "a"),
        ("?", "6", "X_TRAIN_1", "a"),
        ("7", "8", "X_TRAIN_2", "b"),
    ]


def test_time_stamps_become_a_column(tmp_path):
    case = "(2024-01-01 10:00:00,1),(2024-01-01 10:01:00,?):(2024-01-01 10:00:00,3),(2024-01-01 10:01:00,4):a\n"
    frame = read_series_archive(write(tmp_path / "X.ts", STAMPED + case))
    assert frame.columns == ["x1", "x2", "time", "recording", "label"]
    assert frame.rows() == [
        ("1", "3", "2024-01-01 10:00:00", "X_1", "a"),
        ("?", "4", "2024-01-01 10:01:00", "X_1", "a"),
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (HEAD, "no case after @data"),
        (f"{HEAD}a\n", "line 6: no series before the label"),
        (f"{HEAD}1:a\n1:2:b\n", "line 7: 2 dimensions, unlike the lines before"),
        (f"{STAMPED}1,2:a\n", r"line 6: expected \(time stamp,value\)"),
        (f"{STAMPED}(1,5):(2,5):a\n", "line 6: dimensions with other time stamps"),
    ],
)
def test_what_is_not_as_expected_is_named_with_its_line(tmp_path, text, said):
    with pytest.raises(ValueError, match=said):
        read_series_archive(write(tmp_path / "X.ts", text))
