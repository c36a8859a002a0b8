"""What the runs of all folds say together, from journals that were really written."""

import json

import pytest
from typer.testing import CliRunner

import trackstack
from trackstack.cli import app
from trackstack.records.choosing.folds import cross_validations

PER_GROUP = {"1": (0.9, 100), "4": (0.7, 300), "10": (1.0, 50), "2": (0.8, 50)}


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def record(groups, seed, accuracy, lr=0.1):
    params = {"dataset": "mine", "tensor_cache": {"test": groups}, "train": {"seed": seed, "lr": lr, "model": "cnn"}}
    with trackstack.start_run("a run", params) as run:
        run.log({"test_accuracy": accuracy}, step=0)
        table = run.folder.parent / "per_group.csv"
        rows = [f"{group},{PER_GROUP[group][0]},{PER_GROUP[group][1]}" for group in map(str, groups)]
        table.write_text("\n".join(["group,accuracy,windows", *rows]) + "\n")
        run.log_artifact(table, kind="plot")


def test_folds_and_seeds_are_averaged_and_groups_named(home):
    for seed, (first, second) in enumerate([(0.8, 0.9), (0.82, 0.94)]):
        record([1, 4], seed, first)
        record([10, 2], seed, second)
    (result,) = cross_validations(home, "test_accuracy")
    assert result["params"] == {"dataset": "mine", "train.model": "cnn"}
    assert result["folds"] == pytest.approx({"1, 4": 0.81, "10, 2": 0.92})
    assert result["seeds"] == pytest.approx({0: 0.85, 1: 0.88})
    assert result["mean"] == pytest.approx(0.865)
    assert result["spread_seeds"] == pytest.approx(0.03 / 2**0.5)
    assert list(result["groups"]) == ["1", "2", "4", "10"]
    assert result["groups"]["4"] == {"accuracy": 0.7, "windows": 300}


def test_other_parameters_are_another_cross_validation_and_said(home):
    for lr in (0.1, 0.2):
        record([1, 4], 0, lr, lr)
        record([10, 2], 0, lr, lr)
    results = cross_validations(home, "test_accuracy")
    assert [result["params"]["train.lr"] for result in results] == [0.1, 0.2]
    assert [result["mean"] for result in results] == pytest.approx([0.1, 0.2])


def test_a_seed_that_lacks_a_fold_does_not_count_in_the_mean(home):
    record([1, 4], 0, 0.8)
    record([10, 2], 0, 0.9)
    record([1, 4], 1, 0.1)
    (result,) = cross_validations(home, "test_accuracy")
    assert result["seeds"] == pytest.approx({0: 0.85})


def test_the_command_prints_it_and_says_how_to_get_it(home):
    assert "tensor_cache.fold=range(5)" in CliRunner().invoke(app, ["runs", "folds"]).stderr
    record([1, 4], 0, 0.8)
    record([10, 2], 0, 0.9)
    shown = CliRunner().invoke(app, ["runs", "folds"]).stdout
    assert "test_accuracy 0.85 over 2 folds and 1 seed\n" in shown
    result = json.loads(CliRunner().invoke(app, ["runs", "folds", "--json"]).stdout)
    assert result[0]["mean"] == pytest.approx(0.85)


def test_fold_and_seed_may_have_any_names(home):
    for split, accuracy in (("north", 0.8), ("south", 0.9)):
        with trackstack.start_run("theirs", {"split": split, "random_state": 3}) as run:
            run.log({"accuracy": accuracy}, step=0)
    names = ["--metric", "accuracy", "--fold", "split", "--seed", "random_state"]
    result = json.loads(CliRunner().invoke(app, ["runs", "folds", *names, "--json"]).stdout)
    assert result[0]["folds"] == pytest.approx({"north": 0.8, "south": 0.9})


def test_of_amounts_the_usual_figure_and_the_groups_own_are_shown(home):
    for split, r2 in (("north", 0.25), ("south", 0.75)):
        with trackstack.start_run("amounts", {"tensor_cache": {"test": split}, "train": {"seed": 0}}) as run:
            run.log({"test_mae": 3.0, "test_r2": r2}, step=0)
            table = run.folder.parent / "per_group.csv"
            table.write_text(f"group,mae,windows\n{split},{r2},7\n")
            run.log_artifact(table, kind="plot")
    shown = CliRunner().invoke(app, ["runs", "folds"]).stdout
    assert "test_r2 0.5 over 2 folds" in shown
    groups = [["group", "mae", "windows"], ["north", "0.25", "7"], ["south", "0.75", "7"]]
    assert [line.split() for line in shown.splitlines()[-3:]] == groups
