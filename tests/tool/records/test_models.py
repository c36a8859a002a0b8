"""The model of a run, by its own loader and no other way."""

import pytest
from support.choosing import write_run

import trackstack
from trackstack import UserError
from trackstack.core.digest import digest_path
from trackstack.tracking.journal import line_of

LOADER = "def load(path):\n    return float((path / 'weight').read_text()), None\n"


@pytest.fixture
def home(tmp_path):
    """A home whose project has a loader."""
    (tmp_path / "src").mkdir()
    (tmp_path / "src/own_loader_of_a_test.py").write_text(LOADER)
    return tmp_path


def write_model(home, loader):
    run = write_run(home, {"loader": loader}, {"loss": 1.0})
    kept = home / "runs" / run / "artifacts/1/model"
    kept.mkdir(parents=True)
    (kept / "weight").write_text("0.25")
    record = {"type": "artifact", "time": 1.0, "kind": "model", "path": "artifacts/1/model", "name": "model"}
    with (home / "runs" / run / "journal-1.jsonl").open("ab") as journal:
        journal.write(line_of(record | {"digest": digest_path(kept), "loader": loader}))
    return run, kept


def test_a_model_is_what_the_loader_of_its_run_makes_of_it(home):
    run, _ = write_model(home, "own_loader_of_a_test:load")
    assert trackstack.load_model(run[:8], home=home) == 0.25


@pytest.mark.parametrize(
    ("loader", "change", "expected"),
    [
        (None, lambda kept: None, r"its model was recorded without loader='module:function'; it lies in "),
        ("no_such_module:load", lambda kept: None, r"its loader no_such_module:load cannot be imported: No module"),
        ("own_loader_of_a_test:load", lambda kept: (kept / "weight").write_text("0.5"), "model: damaged or replaced"),
        ("own_loader_of_a_test:load", lambda kept: kept.rename(kept.with_name("x")), "model: no such file; "),
    ],
)
def test_a_model_that_cannot_be_loaded_is_one_line(home, loader, change, expected):
    run, kept = write_model(home, loader)
    change(kept)
    with pytest.raises(UserError, match=expected):
        trackstack.load_model(run, home=home)


def test_a_run_without_a_model_says_so(home):
    run = write_run(home, {}, {"loss": 1.0})
    with pytest.raises(UserError, match=f"{run}: recorded no model; expected a run with run.log_artifact"):
        trackstack.load_model(run, home=home)
