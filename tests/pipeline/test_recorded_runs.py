"""Runs of the real pipeline, read back from everything that records them."""

import csv
import json
import re
import shutil
import sqlite3

import pytest
from support.projects import run_in
from support.recording import (
    EVERYTHING,
    in_back_ends,
    in_journals,
    in_mlflow,
    in_sqlite,
    statuses,
    wait_until_nobody_delivers,
)

EVERY_SINK = f"TRACKSTACK_SINKS={','.join(EVERYTHING)} TRACKSTACK_LOG_MODELS=promoted"


@pytest.fixture(scope="module")
def executed_twice(tiny_project, tmp_path_factory):
    """A project whose training and evaluation ran twice, with every back end."""
    pytest.importorskip("wandb")
    project = tmp_path_factory.mktemp("recorded") / "a project"
    shutil.copytree(tiny_project, project, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    for _ in range(2):
        run_in(project, f"{EVERY_SINK} dvc repro --force --no-run-cache --single-item train evaluate")
    wait_until_nobody_delivers(project)
    run_in(project, "trackstack sync")
    return project


def in_dvclive(project, key):
    """The curves that the stage `train` wrote: back ends get `evaluate`'s figures as well."""
    for file in (project / "results/live/plots/metrics").rglob("*.tsv"):
        with file.open(newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                yield key, file.stem, int(row["step"]), float(row[file.stem])


def test_every_back_end_and_dvclive_hold_the_same_series(executed_twice):
    expected = sorted(in_journals(executed_twice))
    key = expected[0][0]
    for name, points in in_back_ends(executed_twice, EVERYTHING).items():
        assert points == expected, name
    curves = [point for point in expected if not point[1].startswith("test_")]
    assert sorted(in_dvclive(executed_twice, key)) == curves
    assert {name for _, name, _, _ in curves} >= {"train_loss", "val_loss", "val_accuracy", "lr"}
    assert {step for _, _, step, _ in curves} == {0, 1}


def test_train_and_evaluate_report_into_one_run_that_can_be_promoted(executed_twice):
    project = executed_twice
    key = json.loads((project / "results/model/model.json").read_text())["run"]
    connection = sqlite3.connect(project / "project.db")
    rows = connection.execute(
        "SELECT run_key, status, reproduced, datasets.name FROM runs JOIN datasets ON dataset_id = datasets.id"
    )
    assert rows.fetchall() == [(key, "finished", 1, "tiny")]
    metrics = {name for (name,) in connection.execute("SELECT DISTINCT metric FROM metrics")}
    assert {"train_loss", "val_accuracy", "test_accuracy", "lr"} <= metrics
    assert key in run_in(project, "git for-each-ref refs/trackstack").stdout

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    assert client.search_registered_models() == []
    assert run_in(project, f"{EVERY_SINK} trackstack runs promote {key[:6]}").stdout == f"{key}: promoted\n"
    assert [version.tags["trackstack.run"] for version in client.search_model_versions("name = 'cnn'")] == [key]


def test_an_experiment_in_a_temporary_folder_arrives_at_home_and_is_rebuilt_when_it_is_lost(project, run):
    sinks = "TRACKSTACK_SINKS=sqlite,mlflow"
    output = run(project, f"{sinks} dvc exp run --temp -n my-exp -S train.lr=0.01").stdout
    assert re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)[-2:] == ["train", "evaluate"]
    assert run(project, "git status --porcelain").stdout == ""
    wait_until_nobody_delivers(project)
    (before,) = json.loads(run(project, "trackstack runs list --json").stdout)
    assert before["name"] == "my-exp"
    assert "test_accuracy" in before["metrics"]
    assert sorted(in_mlflow(project)) == sorted(in_sqlite(project)) == sorted(in_journals(project))
    assert f"refs/trackstack/{before['run']}" in run(project, "git for-each-ref refs/trackstack").stdout

    run(project, "rm -rf runs project.db")
    fresh = f"sqlite:///{project}/rebuilt.db"
    command = f"{sinks} MLFLOW_TRACKING_URI='{fresh}' trackstack sync --all-exps"
    assert run(project, command).stdout.count("rebuilt from") == 2
    after = {row["run"]: row["metrics"] for row in json.loads(run(project, "trackstack runs list --json").stdout)}
    assert after[before["run"]] == pytest.approx(before["metrics"])
    assert len(statuses(project)) == 2
    assert sorted(in_mlflow(project, fresh)) == sorted(in_sqlite(project))
    assert "has its record" in run(project, "trackstack sync --rev my-exp").stdout
