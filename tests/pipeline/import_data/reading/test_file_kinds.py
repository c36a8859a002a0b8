"""What is no table is named with what to type; lines before the header are skipped, units are taken."""

import pytest
from support.tables import write

from pipeline.import_data.reading.dialect import DialectOptions, read_sample

ROWS = "y,x\na,1.5\na,1.1\nb,7.5\nb,7.9\n"


@pytest.mark.parametrize(
    ("beginning", "said"),
    [
        (
            b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1",
            "an old Excel workbook, which is not read; type: pip install pandas xlrd && ",
        ),
        (b"<stata_dta>", "a Stata file, which is not read; type: pip install pandas && python -c"),
        (b"$FL2", "an SPSS file, which is not read; type: pip install pandas pyreadstat && python -c"),
        (b"\x89HDF", "an HDF5 file, which is not read; type: pip install pandas tables && python -c"),
        (b"MATLAB 5.0", "a MATLAB file, which is not read; save its table as CSV"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_type(beginning, said, refused, tmp_path):
    path = tmp_path / "own.bin"
    path.write_bytes(beginning + bytes(100))
    (line,) = refused(path, "--label", "y")
    assert line.startswith(f"{path}: {said}")


@pytest.mark.parametrize(
    ("before", "delimiter"),
    [
        ("% made by hand\n// twice\n", ","),
        ("Measurements of May\n", ","),
        ("\n", ";"),
        ("# made by hand\n# two lines\n", ","),
        ("sep=;\n", ";"),
        ('"sep=;"\n', ";"),
        ("#\n\n# x, y\n", ","),
    ],
)
def test_lines_before_the_header_are_skipped(before, delimiter, added, updated, checked, tmp_path):
    path = write(tmp_path / "own.csv", before + ROWS.replace(",", delimiter))
    added(path)
    assert (tmp_path / "a checkout/data/raw/mine/own.csv").read_text() == ROWS
    assert checked() == ["mine: 4 rows, 0 rejected"]
    assert updated(path)[0] == 0


def test_a_header_that_begins_like_a_comment_is_a_header(tmp_path):
    path = write(tmp_path / "own.csv", "#id,x,y\n1,2.5,a\n3,4.5,b\n")
    assert read_sample(path, "own.csv", DialectOptions()).header == ["#id", "x", "y"]


def test_the_line_that_refuses_names_what_can_be_typed(refused, tmp_path):
    twice = write(tmp_path / "twice.csv", "y,x,x\na,1,2\nb,2,2\n")
    assert refused(twice)[0].endswith("a column is there twice: x; rename one in that line")
    one = write(tmp_path / "one.csv", "x,y\n" + "".join(f"{at % 7}.5,{at % 2}\n" for at in range(20)))
    assert refused(one, "--sequence")[0].endswith("--blocks 20 cuts one long recording into as many")


def test_lines_that_no_guess_finds_are_skipped_on_request_and_by_update_too(added, updated, tmp_path):
    path = write(tmp_path / "own.csv", f"junk,a,b\nmore\n{ROWS}")
    written = added(path, dialect=DialectOptions(skip=2))
    assert written.entry["recipe"]["skip"] == 2
    assert (tmp_path / "a checkout/data/raw/mine/own.csv").read_text() == ROWS
    assert updated(path)[0] == 0


def test_a_line_of_units_goes_into_the_entry(added, checked, tmp_path):
    path = write(tmp_path / "own.csv", "y,length,mass\n,mm,[g]\na,1.5,2.5\nb,7.5,8.5\nb,7.5,8.5\n")
    entry = added(path).entry
    assert [feature.get("unit") for feature in entry["features"]] == ["mm", "g"]
    assert checked() == ["mine: 3 rows, 0 rejected"]


@pytest.mark.parametrize("first", ["a,bad,2", "a,1.5,mm", "a,,", "no number,x y,z"])
def test_a_row_with_a_fault_is_no_line_of_units(first, tmp_path):
    path = write(tmp_path / "own.csv", f"y,length,mass\n{first}\na,1.5,2.5\nb,7.5,8.5\na,7.5,8.5\n")
    assert read_sample(path, "own.csv", DialectOptions()).units == {}
