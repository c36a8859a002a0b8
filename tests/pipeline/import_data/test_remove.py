"""`catalog remove` is the undo of `catalog add`."""

import json
import shutil
from pathlib import Path

from support.projects import REFERENCE
from support.tables import write
from typer.testing import CliRunner

from pipeline.import_data.remove import without_entry
from trackstack.cli import app

ROWS = "y,x\na,1.5\na,1.1\nb,7.5\nb,7.9\n"


def remove(*arguments):
    return CliRunner().invoke(app, ["catalog", "remove", *arguments])


def test_what_add_made_is_gone_and_everything_else_as_it_was(checkout, repository, tmp_path):
    shutil.copytree(repository, checkout, dirs_exist_ok=True)
    before = Path("data/catalog.yaml").read_bytes()
    path = write(tmp_path / "own.csv", ROWS)
    added = CliRunner().invoke(app, ["catalog", "add", str(path), "--name", "mine", "--label", "y", "--yes"])
    assert added.exit_code == 0, added.output
    said = remove("mine", "--dry-run").output
    assert "will remove     data/raw/mine, data/raw/mine.dvc, the entry mine" in said
    assert "git has no such version: add it again" in said
    assert Path("data/raw/mine/own.csv").exists()
    assert json.loads(remove("mine", "--json").stdout)["removed"] is True
    assert not list(Path("data/raw").glob("mine*"))
    assert Path("data/catalog.yaml").read_bytes() == before


def test_the_chosen_one_and_one_that_is_not_there_are_refused(checkout):
    done = remove("sensor_v2", "--yes")
    assert done.exit_code == 1
    assert "dataset is 'sensor_v2'; first write another one there, as in dataset: sensor_v1" in done.stderr
    assert remove("none", "--yes").exit_code == 1
    assert remove("sensor_v1").stderr.startswith("stdin is no terminal")
    assert Path("data/catalog.yaml").read_bytes() == (REFERENCE / "catalog.yaml").read_bytes()


def test_comments_of_other_entries_stay():
    text = "# all\ndatasets:\n  # one\n  a:\n    x: 1  # here\n\n  # two\n  b:\n    x: 2\n"
    assert without_entry(text, "a") == "# all\ndatasets:\n  # two\n  b:\n    x: 2\n"
    assert without_entry(text, "b") == "# all\ndatasets:\n  # one\n  a:\n    x: 1  # here\n"
