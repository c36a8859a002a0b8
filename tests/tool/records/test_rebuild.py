"""The record of a run from what git and DVC hold of it, in a repository that is not ours."""

import json
import shutil

import pytest
from support.foreign import build_linear, foreign_environment
from support.projects import run_in
from support.shared import built_once


@pytest.fixture(scope="module")
def experiments(tmp_path_factory):
    """Two experiments of somebody else's repository, with their records."""

    def build(folder):
        build_linear(folder)
        run_in(
            folder, "dvc exp run -q -n first && dvc exp run -q -n second -S params.json:train.lr=0.5", env=sqlite()
        )

    return built_once(tmp_path_factory, "linear_experiments", build)


@pytest.fixture
def repository(experiments, tmp_path):
    shutil.copytree(experiments, tmp_path / "repository", symlinks=True)
    return tmp_path / "repository"


def sqlite():
    return foreign_environment(TRACKSTACK_SINKS="sqlite")


def trackstack(folder, command, expect=0):
    return run_in(folder, f"trackstack {command}", expect, env=sqlite()).stdout


def test_a_foreign_run_is_followed_back_to_its_data_and_compared(repository):
    """It was made by an experiment, and another one lies in the workspace now."""
    first, second = json.loads(trackstack(repository, "runs list --json"))
    assert (first["name"], second["name"]) == ("first", "second")
    links = json.loads(trackstack(repository, f"lineage {first['run']} --json"))
    verdicts = {(link["what"], link["where"]): link["verdict"] for link in links}
    assert verdicts["prepare: output", "data/train.csv"] == "matches"
    assert verdicts["prepare: dependency", "prepare.py"] == "matches"
    assert verdicts["experiment", "DVC"] == "matches"
    assert {verdict.split(",")[0] for verdict in verdicts.values()} == {"matches"}
    rows = json.loads(trackstack(repository, f"diff {first['run']} {second['run']} --json"))
    assert {("params", "lr")} <= {(row["what"], row["field"]) for row in rows}
    assert not [row for row in rows if row["what"] == "code"]


def test_lost_records_come_back_from_commits_and_experiments(repository):
    before = {run["name"]: run for run in json.loads(trackstack(repository, "runs list --json"))}
    shutil.rmtree(repository / "runs")
    (repository / "project.db").unlink()
    said = trackstack(repository, "sync --rev second").splitlines()
    assert "rebuilt from second" in said[0]
    assert "has its record" in trackstack(repository, "sync --rev second")
    (run,) = json.loads(trackstack(repository, "runs list --json"))
    assert (run["name"], run["status"]) == ("second", "finished")
    assert run["metrics"]["accuracy"] > 0.5
    shown = json.loads(trackstack(repository, f"runs show {run['run']} --json"))
    assert shown["params"]["train"] == {"epochs": 3, "lr": 0.5, "pause": 0.0, "seed": 0}
    assert shown["tags"]["rebuilt"] == "true"
    assert before["second"]["metrics"].keys() == {"train_accuracy"}
    assert trackstack(repository, f"lineage {run['run']}")


def test_what_cannot_be_rebuilt_is_one_line(repository):
    done = run_in(repository, "trackstack sync --rev nothing", 1, env=sqlite())
    assert done.stderr == "nothing: neither a commit nor a DVC experiment; dvc exp list shows those\n"
    error = run_in(repository, "trackstack sync --rev HEAD", 1, env=sqlite()).stderr
    assert "no dvc.lock in it names a stage that was run; reproduce it with dvc repro" in error
