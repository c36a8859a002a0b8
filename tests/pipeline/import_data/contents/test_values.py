"""A number with two readings is never guessed: an option decides, in `add` and in `update`."""

import polars as pl
import pytest
from support.tables import write

from pipeline.import_data.contents.values import find_marks
from pipeline.import_data.reading.dialect import DialectOptions

US = 'y,x\na,950\na,980\nb,"1,200"\nb,"1,300"\n'
GERMAN = "y;x;z\na;950;1,5\na;1.050;1,7\nb;2.300;2,5\n"


@pytest.mark.parametrize(
    ("text", "line", "options", "values"),
    [
        (US, "4: x is '1,200', which has two readings", {"thousands": ","}, [950, 980, 1200, 1300]),
        (US, "4: x is '1,200', which has two readings", {"decimal": ","}, [950, 980, 1.2, 1.3]),
        (GERMAN, "3: x is '1.050' beside decimal commas", {"thousands": "."}, [950, 1050, 2300]),
        ("y;x\na;950,5\nb;1.234\n", "3: x is '1.234' beside decimal", {"thousands": "."}, [950.5, 1234]),
        ('y,x\na,"1,234.5"\nb,"12,345"\n', "2: x is '1,234.5', which has sep", {"thousands": ","}, [1234.5, 12345]),
        ('y,x\na,"1,234,567"\nb,1\n', "2: x is '1,234,567', which has sep", {"thousands": ","}, [1234567, 1]),
        ("y;x\na;1.234\nb;950\n", "2: x is '1.234', which has two readings", {"thousands": "."}, [1234, 950]),
        ("y;x\na;1.234\nb;950\n", "2: x is '1.234', which has two readings", {"decimal": "."}, [1.234, 950]),
        ("y;x\na;1,234\nb;950\n", "2: x is '1,234', which has two readings", {"decimal": ","}, [1.234, 950]),
        ("y\tx\na\t-1,234\nb\t7\n", "2: x is '-1,234', which has two", {"thousands": ","}, [-1234, 7]),
        ("y;x\na;1'234,5\nb;7,5\n", '2: x is "1\'234,5", which has sep', {"thousands": "'"}, [1234.5, 7.5]),
        ("y,x\na,1\u202f234\nb,7\n", "2: x is '1\\u202f234', which has sep", {"thousands": " "}, [1234, 7]),
    ],
)
def test_two_readings_are_refused_until_an_option_decides(text, line, options, values, refused, added, tmp_path):
    path = write(tmp_path / "own.csv", text)
    (said,) = refused(path)
    assert said.startswith(f"{path}, line {line}")
    assert "--" in said
    added(path, dialect=DialectOptions(**options))
    assert pl.read_csv("data/raw/mine/own.csv")["x"].to_list() == values


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("y;x;z\na;1,234;0,5\nb;950;7\n", [1.234, 950]),  # another column has decimal commas
        ("y;x\na;1,234\nb;0,950\n", [1.234, 0.95]),
        ("y;x\na;1.234\nb;0.950\n", [1.234, 0.95]),
        ("y,x\na,1.234\nb,950\n", [1.234, 950]),  # between commas a point is a decimal point
        ("y;x;z;w\na;1.234;1,5;2,5\nb;0.5;7,5;1,5\n", [1.234, 0.5]),  # a column of points beside one of commas
    ],
)
def test_what_else_stands_in_the_file_settles_a_reading(text, values, added, tmp_path):
    added(write(tmp_path / "own.csv", text))
    assert pl.read_csv("data/raw/mine/own.csv")["x"].to_list() == values


def test_what_no_option_can_read_is_refused_in_one_line(refused, tmp_path):
    (both,) = refused(write(tmp_path / "own.csv", 'y,x\na,"1,234,567"\nb,"1,5"\n'))
    assert both.endswith("x is '1,234,567'; beside '1,5' it cannot be read: correct the file")
    path = write(tmp_path / "own.csv", 'y,x\na,"1,234"\nb,"1,5"\n')
    (said,) = refused(path, "--thousands", ",")
    assert said.startswith(f"x: '1,5' among numbers, in {path}, line 3")
    assert refused(path, "--thousands", "x") == ["--thousands x: expected ',' or '.' or \"'\" or ' '"]
    marks = ["--thousands , --decimal ,: expected two different marks"]
    assert refused(path, "--thousands", ",", "--decimal", ",") == marks
    many = write(tmp_path / "many.csv", "y;a;b;c\n" + 'u;"1,234";"2,345";"3,456"\nv;1;2;3\n')
    assert refused(many)[0].endswith("--decimal ',' (and likewise b, c)")


@pytest.mark.parametrize("text", [US, GERMAN, "y;x\na;1.234\nb;950\n"])
def test_next_month_is_refused_alike_and_the_check_of_rows_takes_no_such_number(
    text, added, updated, checked, tmp_path
):
    header, *rows = text.splitlines(keepends=True)
    plain = header + "".join(row.replace(".050", "7").replace(".300", "7") for row in rows if '"' not in row)
    mark = "," if "," in header else "."
    if text is US:
        plain += "b,7\n"
    first = write(tmp_path / "first.csv", plain)
    added(first, dialect=DialectOptions(decimal="." if text.endswith("950\n") else None))
    second = write(tmp_path / "second.csv", text)
    code, said = updated(second)
    if text.endswith("950\n"):
        assert code == 0, "the catalog knows that it is a decimal point"
        return
    assert (code, "two readings" in said) == (1, True)
    assert updated(second, "--thousands", mark)[0] == 0
    raw = next(path for path in (tmp_path / "a checkout/data/raw/mine").iterdir())
    content = raw.read_text().splitlines(keepends=True)
    raw.write_text("".join([content[0], content[1].replace("950", '"9,500"'), *content[2:]]))
    assert checked()[0].endswith("1 rejected")


def test_each_kind_of_mark_is_found_once():
    text = pl.Series(["1,234", "2,345", "1,5", "1,234,567", "0.123", "1.234", "1 234", "abc", ",", "1,234.5"])
    assert find_marks(text) == {
        (",", "either"): "1,234",
        (",", "thousands"): "1,234,567",
        (",", "decimal"): "1,5",
        (".", "either"): "1.234",
        (".", "decimal"): "0.123",
        (" ", "either"): "1 234",
    }
