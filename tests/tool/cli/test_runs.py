"""What the commands on recorded runs print."""

import json

import pytest
from support.recording import record, statuses, trackstack, wait_until_nobody_delivers


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Two recorded runs, only to be read."""
    folder = tmp_path_factory.mktemp("home")
    for name, epochs in (("one", "2"), ("two", "3")):
        record(folder, "sqlite", name, epochs)
    wait_until_nobody_delivers(folder)
    return folder


def test_runs_can_be_listed_shown_compared_and_queried(home):
    rows = json.loads(trackstack(home, "runs", "list", "--json"))
    assert [(row["name"], row["status"]) for row in rows] == [("one", "finished"), ("two", "finished")]
    assert "val_loss" in trackstack(home, "runs", "show", rows[0]["run"][:6])
    changes = json.loads(trackstack(home, "runs", "compare", "one", "two", "--json"))
    assert {change["field"] for change in changes} == {"name", "train_loss", "val_accuracy", "val_loss"}
    answer = trackstack(home, "runs", "sql", "SELECT count(*) AS n FROM metrics", "--json")
    assert json.loads(answer) == [{"n": 15}]


def test_the_runs_of_one_person_can_be_listed(home):
    rows = json.loads(trackstack(home, "runs", "list", "--json"))
    assert json.loads(trackstack(home, "runs", "list", "--user", rows[0]["user"], "--json")) == rows


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs", "show", "nothing"], "nothing: no such run in"),
        (["runs", "promote", "one"], "is finished and has no model to promote; expected a finished training"),
        (["runs", "sql", "SELEC 1"], 'near "SELEC": syntax error'),
        (["runs", "sql", "DELETE FROM runs"], "runs sql only reads"),
        (["runs", "sql", "VACUUM INTO 'copy.db'"], "runs sql only reads"),
        (["runs", "sql", "ATTACH 'copy.db' AS other"], "runs sql only reads"),
        (
            ["runs", "list", "--user", "nobody at all"],
            "--user nobody at all: no run of that name; there are runs of: ",
        ),
        (["sync", "--to", "excel"], "--to excel: no such back end; expected one of sqlite, mlflow"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(home, arguments, expected):
    output = trackstack(home, *arguments, expect=1)
    assert expected in output
    assert len(output.splitlines()) == 1
    assert statuses(home) == [("finished", 0)] * 2
    assert not (home / "copy.db").exists()
