"""Tables that are no CSV give the same dataset version as the CSV file with their values."""

import zipfile

import fastexcel
import polars as pl
import pytest
from support.projects import run_in
from support.tables import write, write_workbook

from pipeline.import_data.reading.dialect import DialectOptions, read_sample
from pipeline.import_data.reading.tables import read_table

FRAME = pl.DataFrame({"y": ["a", "a", "b", "b"], "x": [1.5, 0.1, 7.5, 1e-7], "ok": [True, False, None, True]})
TEXT = "y,x,ok\na,1.5,1\na,0.1,0\nb,7.5,\nb,1e-7,1\n"


def written(folder, name):
    path = folder / name
    kind = path.suffix
    if kind == ".parquet":
        FRAME.write_parquet(path)
    elif kind == ".feather":
        FRAME.write_ipc(path)
    elif kind == ".json":
        FRAME.write_json(path)
    elif kind == ".jsonl":
        FRAME.write_ndjson(path)
    elif kind == ".arff":
        head = "% own\n@RELATION r\n@ATTRIBUTE y {a,b}\n@ATTRIBUTE x NUMERIC\n@ATTRIBUTE ok {true,false}\n@DATA\n"
        write(path, head + "a,1.5,true\na,0.1,false\nb,7.5,?\nb,1e-7,true\n")
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("t.csv", FRAME.write_csv())
    return path


@pytest.mark.parametrize("name", ["t.parquet", "t.feather", "t.json", "t.jsonl", "t.arff", "t.csv.zip"])
def test_a_table_is_added_checked_and_updated_as_its_csv_is(name, added, updated, checked, tmp_path):
    path = written(tmp_path, name)
    added(path)
    assert (tmp_path / "a checkout/data/raw/mine/t.csv").read_text().replace("1e-07", "1e-7") == TEXT
    assert checked() == ["mine: 4 rows, 0 rejected"]
    assert "Nothing to do" in updated(path)[1]


def test_doubles_and_times_are_written_so_that_they_read_back(tmp_path):
    times = pl.Series(["2024-01-01 10:00:00", "2024-01-01 10:00:00.5"]).str.to_datetime()
    frame = pl.DataFrame({"single": pl.Series([0.1, 1.0], dtype=pl.Float32), "time": times})
    frame.write_parquet(tmp_path / "t.parquet")
    text = read_table(tmp_path / "t.parquet", "parquet", None).frame
    assert text["single"].cast(pl.Float64).to_list() == frame["single"].cast(pl.Float64).to_list()
    assert text["time"].to_list() == ["2024-01-01T10:00:00", "2024-01-01T10:00:00.500"]


def test_of_several_sheets_one_must_be_named(refused, tmp_path):
    path = tmp_path / "t.xlsx"
    write_workbook(path, Data=[["y", "x"], ["a", 1.5], ["b", 2.5]], Notes=[["made by hand"]])
    assert fastexcel.read_excel(path).sheet_names == ["Data", "Notes"]
    assert refused(path, "--label", "y") == [f"{path}: 2 sheets; say which: --sheet NAME, one of 'Data', 'Notes'"]
    assert refused(path, "--label", "y", "--sheet", "data") == [
        f"{path}: no sheet 'data'; --sheet may be 'Data', 'Notes'"
    ]
    sample = read_sample(path, path.name, DialectOptions(sheet="Data"))
    assert (sample.header, sample.rows) == (["y", "x"], [["a", "1.5"], ["b", "2.5"]])
    assert sample.what == "sheet 'Data' of an Excel workbook"


def test_what_cannot_be_a_table_is_refused_in_a_line(refused, tmp_path):
    pl.DataFrame({"y": ["a"], "x": [[1, 2]]}).write_parquet(tmp_path / "t.parquet")
    assert "x holds List(Int64)" in refused(tmp_path / "t.parquet", "--label", "y")[0]
    path = write(tmp_path / "t.json", "[{")
    assert refused(path, "--label", "y")[0].startswith(f"{path}: JSON records that cannot be read: ")
    with zipfile.ZipFile(tmp_path / "t.zip", "w") as archive:
        archive.writestr("a.csv", TEXT)
        archive.writestr("b.csv", TEXT)
    assert "a zip archive of 2 files; expected one table" in refused(tmp_path / "t.zip", "--label", "y")[0]
    path = write(
        tmp_path / "t.arff", "@relation r\n@attribute all relational\n@attribute x numeric\n@end all\n@data\n"
    )
    assert "an attribute is relational, a table in each field" in refused(path, "--label", "y")[0]


def test_a_member_is_known_by_its_bytes_and_an_archive_in_an_archive_is_refused(added, refused, tmp_path):
    with zipfile.ZipFile(tmp_path / "t.csv.zip", "w") as archive:
        archive.writestr("t.csv.zip", TEXT)
    path = tmp_path / "again.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.write(tmp_path / "t.csv.zip", "t.csv.zip")
    unpack = f"python -m zipfile -e '{path}' '{tmp_path / 'again'}'"
    assert refused(path, "--label", "y") == [f"{path}: a zip archive of t.csv.zip; unpack it: {unpack}"]
    run_in(tmp_path, unpack)
    added(tmp_path / "again/t.csv.zip")
    assert (tmp_path / "a checkout/data/raw/mine/t.csv").read_text() == TEXT
