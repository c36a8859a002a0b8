"""`trackstack catalog`: a table becomes a dataset version, and what cannot be used is refused in one line."""

import json
import re
import shutil
from pathlib import Path

import pytest
from support.tables import table, write
from typer.testing import CliRunner

from pipeline.contract.catalog import load_dataset
from trackstack.cli import app

ROWS = "\n".join(f"{number}.5,{number % 7},{'up' if number % 2 else 'down'}" for number in range(12))


def test_a_table_becomes_a_dataset_version_and_next_month_another(checkout, repository, tmp_path):
    """That they lead to a recorded run is typed in docs/own-data.md."""
    shutil.copytree(repository, checkout, dirs_exist_ok=True)
    path, options = table("european_wine", tmp_path)

    def said(*arguments):
        done = CliRunner().invoke(app, ["catalog", *arguments])
        assert done.exit_code == 0, done.output
        return done.stdout

    added = said("add", str(path), "--name", "wein", "--yes", *options)
    assert "semicolon-separated, decimal comma, cp1252" in added
    assert "git add data/catalog.yaml data/raw/wein.dvc data/raw/.gitignore && git commit -m 'Add wein'" in added
    assert "  dvc exp run -S dataset=wein\n" in added
    assert Path("data/raw/wein.dvc").exists()
    assert said("check", "wein") == "wein: 178 rows, 0 rejected\n"

    # Next month: five rows more.
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines, *lines[1:6]]))
    assert re.search(r"changed +1 +european_wine.csv", said("update", "wein", str(path), "--yes"))
    assert load_dataset("wein").num_samples == 183
    assert "Nothing to do" in said("update", "wein", str(path), "--yes")


@pytest.mark.parametrize(
    ("text", "options", "line"),
    [
        ("", (), "{}: empty, expected a header and rows"),
        ("a,b,y\n", (), "{}: a header and no row"),
        ("just words\nand more of them, here\n", (), "{}: not a CSV file: no comma, semicolon, tab or bar"),
        ("5.1,3.5,0\n4,5,6\n", (), "{}, line 1: 5.1, 3.5, 0: numbers where the names of columns are expected"),
        ("a,a,y\n1,2,u\n", (), "{}, line 1: a column is there twice: a"),
        (f"a,b,c\n{ROWS}", (), "{}: which column is the label? --label NAME, one of a, b, c"),
        (f"a,b,y\n{ROWS}", ("--label", "q"), "--label q: no such column; there are a, b, y"),
        ("a,y\n1,2.5\n2,2.5\n", (), "y: 2.5 in every row; expected amounts that differ"),
        ("a,y\n1,u\n2,u\n", (), "y: one class, u; expected 2 to 100"),
        ("a,y\n" + "".join(f"1,c{n}\n" for n in range(101)), (), "y: 101 different values; expected 2 to 100"),
        ("a,b,y\n1,2,u\nbad,2,v\n", (), "a: 'bad' among numbers, in {}, line 3; if it means missing: --missing bad"),
        (f"a,b,y\n{ROWS}", ("--time", "a"), "--time: needs --series or --sequence, within which it rises"),
        ("a,b,y\n1,7,u\n2,8,v\n", ("--group", "b"), "b: 2 values; expected at least 3, for train, val and test"),
        (f"a,b,y\n{ROWS}", ("--group-from", "("), "--group-from (: not a regular expression"),
        (f"a,b,y\n{ROWS}", ("--delimiter", "ab"), "--delimiter ab: expected one letter, or tab"),
        (f"a,b,y\n{ROWS}", ("--encoding", "klingon"), "{}: not klingon; say another --encoding"),
    ],
)
def test_what_cannot_be_used_is_one_line(refused, tmp_path, text, options, line):
    path = write(tmp_path / "own.csv", text)
    lines = refused(path, *options)
    assert any(text.startswith(line.format(path)) for text in lines), lines
    assert len(lines) == 1 or options == ("--label", "a")


def test_bytes_that_are_no_text_and_files_that_are_not_there_are_one_line(refused, tmp_path):
    path = tmp_path / "own.csv"
    path.write_bytes(bytes(range(256)) * 20)
    assert len(refused(path)) == 1
    assert refused(tmp_path / "none.csv")[0].endswith("no such file or folder, and no file fits it as a pattern")
    (tmp_path / "empty").mkdir()
    assert "no CSV file or other table here" in refused(tmp_path / "empty")[0]


def test_a_name_that_is_taken_or_none_is_one_line(refused, tmp_path):
    path, _ = table("wine", tmp_path)
    taken = "sensor_v1 is there already; type: trackstack catalog update sensor_v1"
    assert taken in refused(path, name="sensor_v1")[0]
    assert "a name is made of letters, digits, - and _" in refused(path, name="my data")[0]


def test_without_a_terminal_nothing_is_asked(refused, tmp_path):
    path, _ = table("wine", tmp_path)
    assert refused(path, yes=()) == ["stdin is no terminal, so nobody can be asked: add --yes (or --dry-run)"]


def test_list_and_show_say_what_there_is(checkout):
    listed = CliRunner().invoke(app, ["catalog", "list", "--json"]).stdout
    assert [(row["name"], row["kind"], row["here"]) for row in json.loads(listed)] == [
        ("sensor_v1", "sequence", False),
        ("sensor_v2", "sequence", False),
    ]
    shown = CliRunner().invoke(app, ["catalog", "show", "sensor_v2"]).stdout
    assert re.search(r"feature +ax unit g", shown)
    assert re.search(r"file +subject_01.csv: 29,099 rows", shown)
