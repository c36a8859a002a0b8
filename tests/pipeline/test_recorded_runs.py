"""Runs of the real pipeline, read back from everything that records them."""

import csv
import json
import re
import shutil
import sqlite3

import pytest
import yaml
from support.projects import command_environment, run_in
from support.recording import (
    EVERYTHING,
    in_back_ends,
    in_journals,
    in_mlflow,
    in_sqlite,
    statuses,
    trackstack,
    wait_until_nobody_delivers,
)

from pipeline.predict.tables import predict
from trackstack import UserError
from trackstack.records.promotion.promote import promote
from trackstack.records.rebuild import rebuild
from trackstack.tracking.sync import sync_run

SETTINGS = {"TRACKSTACK_SINKS": ",".join(EVERYTHING), "TRACKSTACK_LOG_MODELS": "promoted"}


@pytest.fixture(scope="module")
def executed_twice(tiny_project, tmp_path_factory):
    """A project whose training and evaluation ran twice: the first time with every back end, which all got it."""
    pytest.importorskip("wandb")
    project = tmp_path_factory.mktemp("recorded") / "a project"
    shutil.copytree(tiny_project, project, symlinks=True, ignore=shutil.ignore_patterns("runs"))
    command = "dvc repro --force --no-run-cache --single-item train evaluate"
    run_in(project, command, env=command_environment() | SETTINGS)
    wait_until_nobody_delivers(project)
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    for stage in ("train", "evaluate"):
        run_in(project, stages[stage]["cmd"])
    return project


@pytest.fixture(scope="module")
def promoted(executed_twice):
    """The run's key, and the models that were registered before it was promoted; that delivers the rest."""
    from mlflow.tracking import MlflowClient

    key = json.loads((executed_twice / "results/model/model.json").read_text())["run"]
    before = MlflowClient(f"sqlite:///{executed_twice}/mlflow.db").search_registered_models()
    with pytest.MonkeyPatch.context() as patch:  # not the command, which would go on with the project's own code
        patch.setenv("TRACKSTACK_LOG_MODELS", "promoted")
        made = promote(executed_twice, executed_twice, key[:6], None)
        assert [sync_run(folder) for folder in made.folders] == [{}]
    return key, before


def in_dvclive(project, key):
    """The curves that the stage `train` wrote: back ends get `evaluate`'s figures as well."""
    for file in (project / "results/live/plots/metrics").rglob("*.tsv"):
        with file.open(newline="") as table:
            for row in csv.DictReader(table, delimiter="\t"):
                yield key, file.stem, int(row["step"]), float(row[file.stem])


def test_every_back_end_and_dvclive_hold_the_same_series(executed_twice, promoted):
    expected = sorted(in_journals(executed_twice))
    key = expected[0][0]
    for name, points in in_back_ends(executed_twice, EVERYTHING).items():
        assert points == expected, name
    curves = [point for point in expected if not point[1].startswith("test_")]
    assert sorted(in_dvclive(executed_twice, key)) == curves
    assert {name for _, name, _, _ in curves} >= {"train_loss", "val_loss", "val_accuracy", "lr"}
    assert {step for _, _, step, _ in curves} == {0, 1}


def test_train_and_evaluate_report_into_one_run_that_can_be_promoted(executed_twice, promoted):
    key, before = promoted
    connection = sqlite3.connect(executed_twice / "project.db")
    rows = connection.execute(
        "SELECT run_key, status, reproduced, datasets.name FROM runs JOIN datasets ON dataset_id = datasets.id"
    )
    assert rows.fetchall() == [(key, "finished", 1, "tiny")]
    metrics = {name for (name,) in connection.execute("SELECT DISTINCT metric FROM metrics")}
    assert {"train_loss", "val_accuracy", "test_accuracy", "lr"} <= metrics
    connection.close()
    assert key in run_in(executed_twice, "git for-each-ref refs/trackstack").stdout

    from mlflow.tracking import MlflowClient

    assert before == []
    client = MlflowClient(f"sqlite:///{executed_twice}/mlflow.db")
    version = client.get_model_version_by_alias("exercise-classifier", "champion")
    assert version.tags["trackstack.run"] == key


def test_by_name_by_version_by_alias_of_mlflow_and_from_dvc_a_promoted_model_gives_the_same_labels(
    executed_twice, promoted, monkeypatch
):
    monkeypatch.chdir(executed_twice)
    name, table = "exercise-classifier", executed_twice / "data/raw/tiny/subject_1.csv"
    expected, _ = predict(table, "results/model")
    for model in (name, f"{name}@champion", f"{name}@v1", f"models:/{name}@champion"):
        found, said = predict(table, model)
        assert found.equals(expected), model
        assert f"by cnn of run {promoted[0]}" in said
    monkeypatch.setenv("TRACKSTACK_HOME", str(executed_twice / "elsewhere"))  # the run is not there
    found, _ = predict(table, name)
    assert found.equals(expected)
    with pytest.raises(UserError, match=r"^--model nobody: no such folder, and no such promoted model \("):
        predict(table, "nobody")
    (executed_twice / name).mkdir()
    with pytest.raises(
        UserError, match=rf"^--model {name}: a folder and a promoted model; type \./{name}, or {name}@"
    ):
        predict(table, name)


def test_another_checkout_makes_the_same_bytes_and_its_run_has_the_report(executed_twice, tiny_project):
    for file in sorted((tiny_project / "results/evaluation").rglob("*.*")):
        assert (executed_twice / file.relative_to(tiny_project)).read_bytes() == file.read_bytes(), file.name
    names = {path.name for path in executed_twice.glob("runs/*/artifacts/*/*") if path.name != "model"}
    assert names == {"per_group.csv", "predictions.csv", "report.html"}


def test_an_experiment_in_a_temporary_folder_arrives_at_home_and_is_rebuilt_when_it_is_lost(cheap_project, run):
    sinks = "TRACKSTACK_SINKS=sqlite,mlflow"
    output = run(cheap_project, f"{sinks} dvc exp run --temp -n my-exp -S train.lr=0.01").stdout
    assert re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)[-1] == "train"
    assert run(cheap_project, "git status --porcelain").stdout == ""
    wait_until_nobody_delivers(cheap_project)
    (before,) = json.loads(run(cheap_project, "trackstack runs list --json").stdout)
    assert before["name"] == "my-exp"
    assert "train_loss" in before["metrics"]
    assert sorted(in_mlflow(cheap_project)) == sorted(in_sqlite(cheap_project)) == sorted(in_journals(cheap_project))
    assert f"refs/trackstack/{before['run']}" in run(cheap_project, "git for-each-ref refs/trackstack").stdout

    run(cheap_project, "rm -rf runs project.db")
    said = run(cheap_project, "TRACKSTACK_SINKS=sqlite trackstack sync --all-exps").stdout
    assert said.count("rebuilt from") == 2
    assert "my-exp" in {row["name"] for row in json.loads(run(cheap_project, "trackstack runs list --json").stdout)}
    assert len(statuses(cheap_project)) == 2


def test_what_is_rebuilt_is_the_run_with_its_figures_in_every_back_end(project, tiny_project, tmp_path, monkeypatch):
    home = tmp_path / "home"
    monkeypatch.chdir(project)
    monkeypatch.setenv("TRACKSTACK_SINKS", "sqlite,mlflow")
    run, written = rebuild("HEAD", home)
    assert written
    trackstack(home, "sync")
    last = {(name, step): value for _, name, step, value in sorted(in_journals(tiny_project))}
    found = {(name, step): value for _, name, step, value in in_sqlite(home)}
    assert {"test_accuracy", "val_loss", "train_loss"} <= {name for name, _ in found}
    assert found == pytest.approx(last)
    assert {point[0] for point in in_journals(tiny_project)} == {run}
    assert sorted(in_mlflow(home)) == sorted(in_sqlite(home))
    assert rebuild("HEAD", home) == (run, False)
