"""A person or a class under two spellings is one: refused until somebody says what it is."""

from collections import Counter
from pathlib import Path

import polars as pl
import pytest
from support.tables import write

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.contents.spellings import other_spellings

SPELLINGS = [
    ("Yes", "yes"),
    ("p 1", "p  1"),
    ("1", "1.0"),
    ("7", "07"),
    ("Jos\u00e9", "Jose\u0301"),
    ("a1", "\uff411"),
]


def table_of(first, second):
    names = [first, first, second, "x", "x", "y", "y"]
    return "who,what,mass\n" + "".join(f"{name},{'ab'[at % 2]},{at}.5\n" for at, name in enumerate(names))


@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_a_group_under_two_spellings_is_refused_or_joined(first, second, refused, planned, added, checked, tmp_path):
    path = write(tmp_path / "own.csv", table_of(first, second))
    columns = ("--label", "what", "--group", "who")
    (line,) = refused(path, *columns)
    assert line.startswith("who: ")
    assert "type: --spellings join (each gets its most frequent spelling: 1 row change)" in line
    assert planned(path, *columns, "--spellings", "keep")["entry"]["group"] == "who"
    added(path, "what", group="who", spellings="join")
    assert pl.read_csv("data/raw/mine/own.csv", schema_overrides={"who": pl.String})["who"].n_unique() == 3
    assert checked() == ["mine: 7 rows, 0 rejected"]


@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_a_class_under_two_spellings_is_refused_or_joined(first, second, refused, planned, tmp_path):
    path = write(tmp_path / "own.csv", table_of(first, second))
    columns = ("--label", "who", "--extra", "what")
    assert refused(path, *columns)[0].startswith("who: ")
    assert planned(path, *columns, "--spellings", "join")["classes"] == {first: 3, "x": 2, "y": 2}
    assert len(planned(path, *columns, "--spellings", "keep")["classes"]) == 4
    assert refused(path, *columns, "--spellings", "no") == ["--spellings no: expected join or keep"]


def test_one_person_in_two_files_under_two_spellings_is_one(refused, added, tmp_path):
    for name, persons in (("a", ("0", "1", "2", "3")), ("b", ("0.0", "1.0", "2.0", "3.0"))):
        rows = "".join(f"0.{at},{person},{'ud'[at % 2]}\n" for at, person in enumerate(persons))
        write(tmp_path / f"own/{name}.csv", "x,person,y\n" + rows)
    assert refused(tmp_path / "own", "--group", "person")[0].startswith("person: '0' and '0.0'")
    added(tmp_path / "own", group="person", spellings="join")
    persons = [pl.read_csv(path)["person"].to_list() for path in Path("data/raw/mine").iterdir()]
    assert persons == [[0, 1, 2, 3]] * 2
    assert load_dataset("mine").id_type("person") == "int32"


def test_groups_from_the_names_of_files_are_joined_too(refused, planned, tmp_path):
    for person in ("p1", "P1", "p2", "p3"):
        for label in ("up", "down"):
            write(tmp_path / f"own/{person}_{label}.csv", "x\n1.5\n2.5\n")
    names = ("--sequence", "--group-from", "^([^_]+)", "--label-from", "_([a-z]+)")
    assert refused(tmp_path / "own", *names)[0].startswith("group: 'P1' and 'p1' differ only in case")
    assert planned(tmp_path / "own", *names, "--spellings", "join")["entry"]["settings"]["tensor_cache"]["folds"] == 3


@pytest.mark.parametrize(("first", "second"), SPELLINGS)
def test_next_months_spelling_of_a_class_is_that_of_the_catalog(first, second, added, updated, tmp_path):
    path = write(tmp_path / "own.csv", table_of(first, first))
    added(path, "who", extra=("what",))
    write(path, table_of(second, second))
    code, said = updated(path)
    assert (code, "--spellings join" in said) == (1, True)
    code, said = updated(path, "--spellings", "join")
    assert code == 0
    assert f"class {first}".ljust(25) + "      3 +0" in said


def test_groups_that_were_kept_apart_are_named_when_rows_are_checked(added, checked, tmp_path):
    path = write(tmp_path / "own.csv", table_of("P1", "p1"))
    added(path, "what", group="who", spellings="keep")
    rows, note = checked()
    assert rows == "mine: 7 rows, 0 rejected"
    assert "note: who: 'P1' and 'p1' differ only" in note


def test_names_that_differ_in_more_are_different():
    assert other_spellings(Counter(["a", "b", "1", "11", "-1", "1a", "é", "e", "a b", "ab", "1.5", "15"])) == {}
    assert other_spellings(Counter({"no": 1, "No": 2}), known=["no"]) == {"No": "no"}
    assert other_spellings(Counter({"no": 1, "No": 2}), known=["no", "No"]) == {}
