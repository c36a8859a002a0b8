"""What a plan says beside what it does: columns and classes to look at, and settings that fit this dataset alone."""

import pytest
import yaml
from support.projects import ROOT
from support.tables import write

from pipeline.import_data.advice import CALLED_ID


def rows(*columns):
    return "".join(",".join(map(str, row)) + "\n" for row in zip(*columns, strict=True))


LABELS = ["a", "b"] * 20
MEASURED = [f"{(number * 7) % 11}.5" for number in range(40)]


@pytest.mark.parametrize(
    ("values", "apart"),
    [
        ([1700000000000 + 20 * number for number in range(40)], "40 different values float32"),
        ([f"{1e9 + number / 10:.1f}" for number in range(40)], "tells 1 apart"),
        ([f"{100 + number * 1e-7:.7f}" for number in range(40)], "tells 2 apart"),
        ([1700000000001, 1700000000002, 1700000000901, 1700000000950] * 10, "of 4 different values float32"),
    ],
)
def test_a_feature_that_float32_cannot_tell_apart_is_noted(values, apart, planned, tmp_path):
    plan = planned(write(tmp_path / "own.csv", "t,x,y\n" + rows(values, MEASURED, LABELS)))
    assert apart in next(note for note in plan["notes"] if note.startswith("t: of"))


def test_it_is_noted_however_the_numbers_are_written(planned, tmp_path):
    path = write(tmp_path / "own.csv", "t;x;y\n" + "1.700.000.000;1,5;a\n1.700.000.001;1,6;b\n" * 5)
    plan = planned(path, "--thousands", ".")
    assert "of 2 different values float32, in which models compute, tells 1 apart" in "".join(plan["notes"])


@pytest.mark.parametrize(
    ("counts", "said"),
    [
        ({"a": 5, "b": 5, "c": 1}, "y: fewer rows than the 5 folds in c 1;"),
        ({"a": 4, "b": 9, "c": 2}, "y: fewer rows than the 5 folds in a 4, c 2;"),
        ({"a": 30, "b": 4}, "y: fewer rows than the 5 folds in b 4;"),
        ({"a": 5, "b": 5}, None),
    ],
)
def test_a_class_with_fewer_rows_than_folds_is_noted(counts, said, planned, tmp_path):
    labels = [name for name, count in counts.items() for _ in range(count)]
    values = [f"{number * 3 % 7}.5" for number in range(len(labels))]
    notes = planned(write(tmp_path / "own.csv", "x,y\n" + rows(values, labels)))["notes"]
    assert [note.partition(" such")[0] for note in notes] == ([said] if said else [])


@pytest.mark.parametrize(
    ("labels", "noted"),
    [
        ([50 + number % 19 for number in range(200)], True),
        ([f"{number % 30}.0" for number in range(200)], True),
        ([-(number % 12) for number in range(200)], True),
        ([number % 10 for number in range(200)], False),
        ([f"c{number % 30}" for number in range(200)], False),
    ],
)
def test_many_whole_numbers_as_a_label_are_noted(labels, noted, planned, tmp_path):
    values = [f"{number * 3 % 7}.5" for number in range(200)]
    notes = planned(write(tmp_path / "own.csv", "x,y\n" + rows(values, labels)))["notes"]
    assert any("--task" in note for note in notes) == noted


@pytest.mark.parametrize(
    ("name", "values", "noted"),
    [
        ("ID", [number * 37 % 41 for number in range(1, 41)], True),
        ("pidnum", [9000 + number * 37 % 41 for number in range(40)], True),
        ("stamp", [1000 + 20 * number for number in range(40)], True),
        ("x", [number % 30 for number in range(40)], False),
        ("mass", [f"{number}.25" for number in range(40)], False),
    ],
)
def test_a_column_that_identifies_rows_is_noted(name, values, noted, planned, tmp_path):
    path = write(tmp_path / "own.csv", f"{name},x2,y\n" + rows(values, MEASURED, LABELS))
    notes = [note for note in planned(path)["notes"] if "as if it identified rows" in note]
    assert [f"--extra {name} does not train" in note for note in notes] == [True] * noted
    assert [note for note in planned(path, "--extra", name)["notes"] if "identified" in note] == []


def test_names_of_numbers_that_identify_are_known():
    assert all(CALLED_ID.fullmatch(name) for name in ("id", "ID", "patient_id", "pidnum", "Sample No", "rowname"))
    assert not any(CALLED_ID.fullmatch(name) for name in ("x", "mass", "width", "idea"))


def test_a_column_that_numbers_the_rows_is_left_out_and_can_be_kept(planned, refused, added, updated, tmp_path):
    path = write(tmp_path / "own.csv", "y,day\na,1\na,2\nb,3\nb,4\n")
    assert refused(path) == [
        "0 features; expected 1 to 1,000; day was left out, since it numbers the rows or has no name: to train on it, "
        "--feature day"
    ]
    assert planned(path, "--feature", "day")["entry"]["features"] == [{"name": "day"}]
    assert refused(path, "--feature", "week") == ["--feature week: no such column; there are y, day"]
    added(path, features=("day",))
    assert updated(write(path, path.read_text() + "b,5\n"))[0] == 0, "the catalog knows that it is a feature"


def test_a_table_of_text_alone_is_one_of_categories(planned, tmp_path):
    plan = planned(write(tmp_path / "own.csv", "y,colour,shape\n" + "a,red,round\nb,blue,long\n" * 2))
    assert plan["categories"] == {"colour": {"blue": 2, "red": 2}, "shape": {"long": 2, "round": 2}}


def test_a_class_that_is_rare_is_proposed_to_count_more(planned, tmp_path):
    path = write(tmp_path / "own.csv", "y,x\n" + "a,1.5\n" * 60 + "b,2.5\n" * 60 + "c,3.5\n" * 6)
    assert not any("class_weights" in note for note in planned(path)["notes"])
    path = write(tmp_path / "rare.csv", "y,x\n" + "a,1.5\n" * 90 + "b,2.5\n" * 80 + "c,3.5\n" * 5)
    (note,) = [note for note in planned(path)["notes"] if "class_weights" in note]
    assert note.startswith("y: c has 5 of 175 rows")
    override = note.rpartition("-S ")[2]
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    section, name, key = override.partition("=")[0].split(".")
    assert key in params[section][name]
