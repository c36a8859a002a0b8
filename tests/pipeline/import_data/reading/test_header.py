"""Files without a header get names for their columns when that is said, in every command."""

from pathlib import Path

from support.tables import write

from pipeline.import_data.reading.dialect import DialectOptions

ROWS = "".join(f"{'ab'[number % 2]},{number % 7}.5,{number % 5}.25\n" for number in range(40))
NUMBERS = "".join(f"{number % 2},{number % 7}.5,{number % 5}.25\n" for number in range(40))


def test_numbers_in_the_first_line_are_refused_until_it_is_called_a_row(refused, planned, tmp_path):
    path = write(tmp_path / "own.csv", NUMBERS)
    (line,) = refused(path, "--label", "column_1")
    assert line == (
        f"{path}, line 1: 0, 0.5, 0.25: numbers where the names of columns are expected; if that line is a row: "
        "--no-header calls the columns column_1, column_2, ..."
    )
    plan = planned(path, "--no-header", "--label", "column_1")
    assert plan["classes"] == {"0": 20, "1": 20}
    assert plan["converted"] == ["a header"]
    assert plan["entry"]["recipe"] == {"encoding": "utf-8", "delimiter": ",", "decimal": ".", "no_header": True}


def test_every_line_becomes_a_row_below_a_header_and_next_months_file_likewise(added, checked, updated, tmp_path):
    path = write(tmp_path / "own.csv", ROWS)
    added(path, label="column_1", dialect=DialectOptions(no_header=True))
    assert Path("data/raw/mine/own.csv").read_text() == "column_1,column_2,column_3\n" + ROWS
    assert checked() == ["mine: 40 rows, 0 rejected"]
    path.write_text(ROWS + "a,1.5,2.5\n")
    code, said = updated(path)
    assert code == 0
    assert "class a" in said
    assert "21 +1" in said
