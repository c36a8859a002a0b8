"""A label of numbers is classes or amounts: the guess is shown, and can be overruled."""

import re
from collections import Counter
from pathlib import Path

import pytest
from support.amounts import write_houses
from support.tables import write
from typer.testing import CliRunner

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.contents.amounts import guess_task
from pipeline.import_data.reading.dialect import Dialect
from pipeline.import_data.survey import ColumnSurvey
from pipeline.ingest.manifest import build_manifest
from trackstack.cli import app

POINT, COMMA = Dialect("utf-8", ",", "."), Dialect("utf-8", ";", ",")


def table(path, labels, column="y"):
    lines = [f"{at * 37 % 101}.25,{label}" for at, label in enumerate(labels)]
    return write(path, f"x,{column}\n" + "\n".join(lines) + "\n")


@pytest.mark.parametrize(
    ("values", "dialect", "task"),
    [
        (["1.5", "2.5"] * 50, POINT, "regression"),
        (["1,5", "2,5"] * 50, COMMA, "regression"),
        ([str(at % 21) for at in range(300)], POINT, "regression"),
        ([f"{at % 21}.0" for at in range(300)], POINT, "regression"),
        ([str(at % 20) for at in range(300)], POINT, "classification"),
        ([str(at % 19) for at in range(40)], POINT, "regression"),
        ([str(at % 10) for at in range(30)], POINT, "classification"),
        (["1.0", "2.0", "3"] * 50, POINT, "classification"),
        (["1.5", "b", "c"] * 50, POINT, "classification"),
        ([*map(str, range(60)), "k.A."], POINT, "regression"),
        ([*map(str, range(60)), *["unknown"] * 70], POINT, "classification"),
        ([f"{at},{at:03}" for at in range(1, 40)], POINT, "regression"),
        (["true", "false"] * 9, POINT, "classification"),
        ([], POINT, "classification"),
    ],
)
def test_fractions_and_many_numbers_are_amounts(values, dialect, task):
    assert guess_task(ColumnSurvey(values=Counter(values)), dialect) == task


def test_a_table_of_amounts_becomes_a_regression_and_says_so(added, checkout, checked):
    written = added(write_houses(checkout / "houses.csv"), "price", group="town")
    assert written.rejected == 0
    dataset = load_dataset("mine")
    assert (dataset.task, dataset.target_names()) == ("regression", ["price"])
    assert dataset.feature_names() == ["size", "age", "tax"]
    build_manifest("mine", dataset, Path("data/raw/mine"))
    assert checked() == ["mine: 90 rows, 0 rejected"]
    text = Path("data/catalog.yaml").read_text()
    assert "      - {name: price}\n" in text
    shown = CliRunner().invoke(app, ["catalog", "show", "mine"]).output
    assert "target       price" in shown
    assert "regression" in CliRunner().invoke(app, ["catalog", "list"]).output


def test_the_plan_shows_the_range_of_each_target(planned, tmp_path):
    path = write_houses(tmp_path / "houses.csv")
    plan = planned(path, "--label", "price", "--label", "tax")
    assert [target["name"] for target in plan["entry"]["targets"]] == ["price", "tax"]
    assert plan["classes"] == {}
    arguments = ["catalog", "add", str(path), "--name", "b", "--dry-run", "--label", "tax"]
    said = CliRunner().invoke(app, arguments).output
    assert re.search(r"\nlabel           tax, a number from 0\.0\d+ to 0\.\d+ \(regression\)\n", said)


def test_the_guess_can_be_overruled_both_ways(planned, tmp_path):
    path = table(tmp_path / "a.csv", [at % 12 for at in range(200)])
    plan = planned(path)
    assert len(plan["entry"]["classes"]) == 12
    assert plan["notes"] == [
        "y: 12 whole numbers, each a class without an order; if it is an amount: --task regression"
    ]
    assert planned(path, "--task", "regression")["entry"]["targets"] == [{"name": "y"}]
    path = table(tmp_path / "b.csv", [at % 25 for at in range(200)])
    plan = planned(path)
    assert plan["entry"]["targets"] == [{"name": "y"}]
    assert plan["notes"] == [
        "y: 25 different whole numbers, taken for an amount; if they are classes: --task classification"
    ]
    assert len(planned(path, "--task", "classification")["entry"]["classes"]) == 25


@pytest.mark.parametrize(
    ("labels", "options", "expected"),
    [
        (
            ["1.5", "heavy", *map(str, range(50))],
            (),
            "y: 'heavy' where an amount is expected, in {path}, line 3; "
            "if it means missing: --missing heavy; if they are classes: --task classification",
        ),
        (
            ["a", "b"] * 9,
            ("--task", "regression"),
            "y: 'a' where an amount is expected, in {path}, line 2; "
            "if it means missing: --missing a; if they are classes: --task classification",
        ),
        (["2.5"] * 9, (), "y: 2.5 in every row; expected amounts that differ"),
        (
            [f'"{at},250"' for at in range(1, 30)],
            (),
            "{path}, line 2: y is '1,250', which has two readings; type: "
            "--thousands ',' (if it is 1250) or --decimal ','",
        ),
        (
            [1, 2] * 9,
            ("--label", "x", "--task", "classification"),
            "--task classification: takes one --label, not y, x",
        ),
    ],
)
def test_what_is_no_amount_is_a_line_that_says_what_to_type(refused, tmp_path, labels, options, expected):
    path = table(tmp_path / "a.csv", labels)
    assert refused(path, "--label", "y", *options) == [expected.format(path=path)]


def test_thousands_and_decimal_commas_of_a_target_are_converted_and_missing_words_set_aside(added, checkout):
    lines = [f"{at};1.{at:03},5" for at in range(40)]
    path = write(checkout / "a.csv", "x;y\n" + "\n".join([*lines, "7;NA", "8;"]) + "\n")
    from pipeline.import_data.reading.dialect import DialectOptions

    written = added(path, features=("x",), dialect=DialectOptions(decimal=",", thousands="."))
    assert (written.rejected, written.first.column, written.first.reason) == (2, "y", "expected a value")
    assert Path("data/raw/mine/a.csv").read_text().splitlines()[2] == "1,1001.5"


def test_an_amount_may_come_from_a_table_of_files(added, checkout):
    for at in range(4):
        write(checkout / f"recordings/r{at}.csv", "x\n" + "\n".join(map(str, (3, 1, 2, at))) + "\n")
    labels = write(checkout / "labels.csv", "file,speed\n" + "".join(f"r{at},{at}.5\n" for at in range(4)))
    added("recordings", None, sequence=True, labels=labels)
    dataset = load_dataset("mine")
    assert dataset.target_names() == ["speed"]
    assert Path("data/raw/mine/r2.csv").read_text().splitlines()[:2] == ["speed,recording,x", "2.5,r2,3"]


def test_update_keeps_the_task_whatever_the_new_values_look_like(added, updated, checkout):
    added(table(checkout / "a.csv", [f"{at}.5" for at in range(30)]))
    path = table(checkout / "new/a.csv", [at % 3 for at in range(30)])
    code, said = updated(path)
    assert code == 0
    assert "label           y, a number from 0 to 2 (regression)" in said
    assert "class" not in said
