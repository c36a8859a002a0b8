"""The scripts of examples/loops: five changed lines each; stopped and gone on with they are one run, each step once."""

import difflib
import runpy
from collections import Counter

import pytest
from support.projects import ROOT

from trackstack.records.query import list_runs

LOOPS = ROOT / "examples/loops"
EXAMPLES = ("own_loop", "train_lightning", "train_sklearn", "train_transformers")
pytestmark = pytest.mark.filterwarnings("ignore")  # those of the packages


def run_example(name):
    return runpy.run_path(str(LOOPS / f"{name}.py"), run_name="__main__")


def stopped(name):
    with pytest.raises(SystemExit) as left:
        run_example(name)
    assert left.value.code == 75


def the_run(home):
    (row,) = list_runs(home)
    return row["status"]


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_differs_in_five_lines_from_a_script_without_a_record(name):
    before, after = (
        [line.strip() for line in path.read_text().splitlines()]
        for path in (LOOPS / f"before/{name}.py", LOOPS / f"{name}.py")
    )
    changed = [line for line in difflib.ndiff(before, after) if line[:2] == "+ " and line[2:].strip()]
    assert 3 <= len(changed) <= 5, changed
    shown = {line.strip() for line in (ROOT / "docs/frameworks.md").read_text().splitlines()}
    assert {line[2:] for line in changed} <= shown


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_stopped_by_a_deadline_and_gone_on_with_is_one_run(name, home, points, monkeypatch, tmp_path):
    monkeypatch.setenv("TRACKSTACK_HOME", str(undisturbed := tmp_path / "undisturbed"))
    whole = run_example(name)
    assert the_run(undisturbed) == "finished"
    expected = points(undisturbed)
    monkeypatch.setenv("TRACKSTACK_HOME", str(interrupted := tmp_path / "interrupted"))
    monkeypatch.setenv("TRACKSTACK_DEADLINE", "1")
    stopped(name)
    assert the_run(interrupted) == "interrupted"
    monkeypatch.delenv("TRACKSTACK_DEADLINE")
    resumed = run_example(name)
    assert the_run(interrupted) == "finished"
    found = points(interrupted)
    assert set(Counter(point[:2] for point in found).values()) == {1}, "each step once"
    assert sorted(point[:2] for point in found) == sorted(point[:2] for point in expected)
    assert not list(interrupted.glob("runs/*/checkpoints"))
    # Lightning begins the data of an epoch anew; Transformers forgets the losses since it last said their mean.
    differ = {point[:2] for point in set(found) - set(expected)}
    assert name == "train_lightning" or differ == ({("loss", 4)} if name == "train_transformers" else set())
    if name in ("own_loop", "train_transformers"):
        for one, other in zip(whole["model"].parameters(), resumed["model"].parameters(), strict=True):
            assert one.equal(other), "to the last bit"
