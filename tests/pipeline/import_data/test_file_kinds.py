"""Other formats are named with what to type; lines before the header are skipped."""

import zipfile

import polars as pl
import pytest
from support.tables import write

from pipeline.import_data.dialect import DialectOptions, read_sample

FRAME = pl.DataFrame({"y": ["a", "a", "b", "b"], "x": [1.5, 1.1, 7.5, 7.9]})
ROWS = "y,x\na,1.5\na,1.1\nb,7.5\nb,7.9\n"


def written(folder, name):
    path = folder / name
    if name == "t.parquet":
        FRAME.write_parquet(path)
    elif name == "t.feather":
        FRAME.write_ipc(path)
    elif name == "t.json":
        FRAME.write_json(path)
    elif name == "t.jsonl":
        FRAME.write_ndjson(path)
    elif name == "t.xls":
        path.write_bytes(b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("xl/workbook.xml" if name == "t.xlsx" else "t.csv", ROWS)
    return path


KINDS = [
    ("t.parquet", "a Parquet file, not CSV; type: python -c"),
    ("t.feather", "a Feather (Arrow) file, not CSV; type: python -c"),
    ("t.json", "JSON, not CSV; type: python -c"),
    ("t.jsonl", "JSON, not CSV; type: python -c"),
    ("t.xlsx", "an Excel workbook, not CSV; save its sheet as CSV"),
    ("t.xls", "an old Excel workbook, not CSV; save its sheet as CSV"),
    ("t.csv.zip", "a zip archive, not CSV; type: python -m zipfile -e"),
]


@pytest.mark.parametrize(("name", "said"), KINDS)
def test_another_format_is_named_with_what_to_type(name, said, refused, added, updated, tmp_path):
    path = written(tmp_path, name)
    (line,) = refused(path, "--label", "y")
    assert line.startswith(f"{path}: {said}")
    added(write(tmp_path / "own.csv", ROWS))
    assert updated(path) == (1, f"{line}\n")
    if "python -c" in line:
        code = line.split('"')[1]
        exec(code)
        assert pl.read_csv(tmp_path / "t.csv").equals(FRAME)


@pytest.mark.parametrize(
    ("before", "delimiter"),
    [("# made by hand\n# two lines\n", ","), ("sep=;\n", ";"), ('"sep=;"\n', ";"), ("#\n\n# x, y\n", ",")],
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


def test_the_line_that_refuses_names_what_can_be_typed(refused, planned, tmp_path):
    spaces = write(tmp_path / "own.txt", "y x z\na 1.5 2.5\nb 1.1 2.1\n")
    assert refused(spaces)[0].endswith("--delimiter ' '")
    assert planned(spaces, "--delimiter", " ")["classes"] == {"a": 1, "b": 1}
    twice = write(tmp_path / "twice.csv", "y,x,x\na,1,2\nb,2,2\n")
    assert refused(twice)[0].endswith("a column is there twice: x; rename one in that line")
    units = write(tmp_path / "units.csv", "y,x,z\n,mm,g\na,1.5,2.5\nb,7.5,8.5\n")
    assert refused(units)[0].startswith(f"{units}, line 2: looks like units (x mm, z g): delete that line")
    one = write(tmp_path / "one.csv", "x,y\n" + "".join(f"{at % 7}.5,{at % 2}\n" for at in range(20)))
    assert refused(one, "--sequence")[0].endswith("--blocks 20 cuts one long recording into as many")
