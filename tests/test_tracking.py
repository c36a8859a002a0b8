"""Runs recorded by real processes, delivered to real back ends, and read back with the back ends' own clients."""

import importlib.util
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time

import pytest
from tracking_runs import (
    EVERYTHING,
    SCRIPT,
    children,
    environment,
    in_journals,
    in_mlflow,
    in_sqlite,
    points,
    record,
    start,
    statuses,
    trackstack,
    wait_until_nobody_delivers,
)

from trackstack.tracking.lease import is_live


def test_a_person_s_own_script_is_recorded_in_ten_lines(tmp_path):
    assert record(tmp_path, "sqlite", "mine", "3") == ""
    assert statuses(tmp_path) == [("finished", 0)]
    assert len(points(tmp_path)) == 9


def test_sixteen_processes_that_start_at_once_with_no_database_lose_nothing(tmp_path):
    processes = [start(tmp_path, "sqlite,mlflow", f"run-{number}", "50") for number in range(16)]
    outputs = [process.communicate(timeout=280) for process in processes]
    assert [process.returncode for process in processes] == [0] * 16
    assert outputs == [("", "")] * 16
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 0)] * 16
    assert len(points(tmp_path)) == len({point[:4] for point in points(tmp_path)}) == 16 * 150
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    runs = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id])
    assert [run.info.status for run in runs] == ["FINISHED"] * 16
    for run in runs:
        for metric in ("train_loss", "val_loss", "val_accuracy"):
            assert sorted(point.step for point in client.get_metric_history(run.info.run_id, metric)) == list(
                range(50)
            )


def test_two_homes_that_share_a_new_mlflow_database_lose_nothing(tmp_path):
    shared = f"sqlite:///{tmp_path}/shared.db"
    processes = [
        start(tmp_path / home, "sqlite,mlflow", f"run-{number}", "5", MLFLOW_TRACKING_URI=shared)
        for number in range(3)
        for home in ("one", "two")
    ]
    assert [process.communicate(timeout=240) for process in processes] == [("", "")] * 6
    for home in ("one", "two"):
        wait_until_nobody_delivers(tmp_path / home)
        assert statuses(tmp_path / home) == [("finished", 0)] * 3
    from mlflow.tracking import MlflowClient

    client = MlflowClient(shared)
    runs = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id])
    # Equal name, parameters and script are the same run, whichever home it was recorded in.
    assert len({run.data.tags["trackstack.run"] for run in runs}) == 3
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        steps = [point.step for point in client.get_metric_history(run.info.run_id, "val_loss")]
        assert sorted(steps) == list(range(5))


def test_the_same_run_twice_at_once_trains_once_and_names_the_owner(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT + "    print('started', flush=True)\n    sys.stdin.read()\n")
    first = subprocess.Popen(
        [sys.executable, "-P", "script.py", "same", "2"],
        cwd=tmp_path,
        env=environment(tmp_path, "sqlite"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert first.stdout.readline() == "started\n"
    second = subprocess.run(
        first.args, cwd=tmp_path, env=environment(tmp_path, "sqlite"), capture_output=True, text=True, check=False
    )
    assert second.returncode != 0
    assert re.search(rf"run r[0-9a-f]{{12}}: process {first.pid} on \S+ \(in .*\) is at work on it", second.stderr)
    first.communicate("", timeout=120)
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 0)]
    assert len(points(tmp_path)) == 6


def test_execution_again_marks_the_run_reproduced_and_other_numbers_are_kept_beside(tmp_path):
    script = SCRIPT.replace("1 / (epoch + 1), ", "1 / (epoch + 1) + float(open('noise').read()), ", 1)
    for noise in ("0", "0", "0.5"):
        (tmp_path / "noise").write_text(noise)
        record(tmp_path, "sqlite", "again", "2", script=script)
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 1), ("finished", 0)]
    values = {
        (attempt, epoch): value for _, attempt, metric, epoch, value in points(tmp_path) if metric == "train_loss"
    }
    assert values == {(1, 0): 1.0, (1, 1): 0.5, (3, 0): 1.5, (3, 1): 1.0}


def test_a_killed_run_and_its_killed_child_leave_every_point_to_be_synced(tmp_path):
    script = SCRIPT.replace("range(epochs)", "range(10**9)").replace("epoch / epochs", "0.5")
    for number, delay in enumerate((0.0, 0.2, 0.5, 1.0), start=1):
        process = start(tmp_path, "sqlite,tensorboard", f"killed-{number}", "1", script=script)
        while len(list(tmp_path.glob("runs/*/journal-1.jsonl"))) < number:
            assert process.poll() is None
        time.sleep(delay)  # the instant of the kill, not a wait for anything
        for pid in (*children(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate()
    trackstack(tmp_path, "sync")
    trackstack(tmp_path, "sync")
    assert set(statuses(tmp_path)) == {("lost", 0)}
    expected = set()
    for journal in tmp_path.glob("runs/*/journal-1.jsonl"):
        for line in journal.read_bytes().split(b"\n")[:-1]:
            entry = json.loads(line)
            if entry["type"] == "metrics":
                expected |= {(journal.parent.name, 1, name, entry["step"]) for name in entry["values"]}
    found = [point[:4] for point in points(tmp_path)]
    assert len(found) == len(set(found))
    assert set(found) == expected


def test_a_failed_run_says_why(tmp_path):
    script = SCRIPT.replace("        run.log", "        raise ValueError('out of\\nideas')\n        run.log")
    record(tmp_path, "sqlite", "bad", "1", script=script, expect=1)
    row = json.loads(trackstack(tmp_path, "runs", "list", "--json"))[0]
    assert (row["status"], row["error"]) == ("failed", "ideas")


def test_a_back_end_that_fails_costs_one_warning_and_gets_everything_later(tmp_path):
    output = record(tmp_path, "sqlite,mlflow", "poor", "3", MLFLOW_TRACKING_URI="http://127.0.0.1:9")
    assert len([line for line in output.splitlines() if line.startswith("warning: mlflow:")]) == 1
    assert len(output.splitlines()) == 1
    assert len(points(tmp_path)) == 9
    (tmp_path / "project.db").unlink()
    assert "problems" in trackstack(tmp_path, "sync", "--to", "sqlite")
    assert len(points(tmp_path)) == 9


def test_a_series_that_gets_through_does_not_hide_one_that_did_not(tmp_path):
    script = SCRIPT.replace("1 / (epoch + 1), ", "1 / (epoch + 1) + float(open('noise').read()), ", 1)
    for noise, uri in (("0", "http://127.0.0.1:9"), ("0.5", f"sqlite:///{tmp_path}/mlflow.db")):
        (tmp_path / "noise").write_text(noise)
        output = record(tmp_path, "mlflow", "two", "2", script=script, MLFLOW_TRACKING_URI=uri)
        assert output.startswith("warning: mlflow:")
    wait_until_nobody_delivers(tmp_path)
    assert ": mlflow: " in trackstack(tmp_path, "sync", expect=1)


def test_secrets_reach_no_record(tmp_path):
    secret = "s3cr3t-value-of-a-key"
    sinks = ",".join(EVERYTHING if importlib.util.find_spec("wandb") else EVERYTHING[:-1])
    record(tmp_path, sinks, secret, "2", "--api-key", secret, X_API_KEY=secret, MY_PASSWORD=secret)
    wait_until_nobody_delivers(tmp_path)
    (tmp_path / "script.py").unlink()
    for file in tmp_path.rglob("*"):
        assert not file.is_file() or secret.encode() not in file.read_bytes(), file


def test_a_damaged_journal_is_one_line_and_the_other_runs_are_synced(tmp_path):
    record(tmp_path, "sqlite", "one", "2")
    record(tmp_path, "sqlite", "two", "2")
    wait_until_nobody_delivers(tmp_path)
    (tmp_path / "project.db").unlink()
    journal = sorted(tmp_path.glob("runs/*/journal-1.jsonl"), key=lambda path: path.stat().st_mtime)[0]
    journal.write_bytes(b"damaged\n" + journal.read_bytes())
    output = trackstack(tmp_path, "sync", expect=1)
    assert f"{journal}: line 1 is not a record" in output
    assert len(statuses(tmp_path)) == 1


def test_runs_can_be_listed_shown_compared_and_queried(tmp_path):
    record(tmp_path, "sqlite", "one", "2")
    record(tmp_path, "sqlite", "two", "3")
    rows = json.loads(trackstack(tmp_path, "runs", "list", "--json"))
    assert [(row["name"], row["status"]) for row in rows] == [("one", "finished"), ("two", "finished")]
    assert "val_loss" in trackstack(tmp_path, "runs", "show", rows[0]["run"][:6])
    changes = json.loads(trackstack(tmp_path, "runs", "compare", "one", "two", "--json"))
    assert {change["field"] for change in changes} == {"name", "train_loss", "val_accuracy", "val_loss"}
    answer = trackstack(tmp_path, "runs", "sql", "SELECT count(*) AS n FROM metrics", "--json")
    assert json.loads(answer) == [{"n": 15}]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["runs", "show", "nothing"], "nothing: no such run in"),
        (["runs", "promote", "one"], "is finished and has no model to promote; expected a finished training"),
        (["runs", "sql", "SELEC 1"], 'near "SELEC": syntax error'),
        (["runs", "sql", "DELETE FROM runs"], "runs sql only reads"),
        (["runs", "sql", "VACUUM INTO 'copy.db'"], "runs sql only reads"),
        (["runs", "sql", "ATTACH 'copy.db' AS other"], "runs sql only reads"),
        (["sync", "--to", "excel"], "--to excel: no such back end; expected one of sqlite, mlflow"),
    ],
)
def test_a_mistake_is_one_line_and_changes_nothing(tmp_path, arguments, expected):
    record(tmp_path, "sqlite", "one", "2")
    output = trackstack(tmp_path, *arguments, expect=1)
    assert expected in output
    assert len(output.splitlines()) == 1
    assert statuses(tmp_path) == [("finished", 0)]
    assert not (tmp_path / "copy.db").exists()


def test_a_database_of_a_newer_schema_is_one_line_and_not_touched(tmp_path):
    record(tmp_path, "sqlite", "one", "2")
    connection = sqlite3.connect(tmp_path / "project.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    wait_until_nobody_delivers(tmp_path)
    before = (tmp_path / "project.db").read_bytes()
    answer = json.loads(trackstack(tmp_path, "sync", "--json", expect=1))
    assert answer["runs"] == 1
    assert len(answer["problems"]) == 1
    assert "schema version 99, but this trackstack knows versions up to 1; update trackstack" in answer["problems"][0]
    assert (tmp_path / "project.db").read_bytes() == before


def test_the_pipeline_reports_train_and_evaluate_into_one_run_that_can_be_promoted(project, run):
    environment = "TRACKSTACK_SINKS=sqlite,mlflow TRACKSTACK_LOG_MODELS=promoted"
    for _ in range(2):
        run(project, f"{environment} dvc repro --force --no-run-cache --single-item train evaluate")
    wait_until_nobody_delivers(project)
    key = json.loads((project / "results/model/model.json").read_text())["run"]
    connection = sqlite3.connect(project / "project.db")
    rows = connection.execute(
        "SELECT run_key, status, reproduced, datasets.name FROM runs JOIN datasets ON dataset_id = datasets.id"
    )
    assert rows.fetchall() == [(key, "finished", 1, "tiny")]
    metrics = {name for (name,) in connection.execute("SELECT DISTINCT metric FROM metrics")}
    assert {"train_loss", "val_accuracy", "test_accuracy", "lr"} <= metrics
    assert key in run(project, "git for-each-ref refs/trackstack").stdout

    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{project}/mlflow.db")
    assert client.search_registered_models() == []
    assert run(project, f"{environment} trackstack runs promote {key[:6]}").stdout == f"{key}: promoted\n"
    assert [version.tags["trackstack.run"] for version in client.search_model_versions("name = 'cnn'")] == [key]


def test_an_experiment_in_a_temporary_folder_arrives_in_the_home_of_the_checkout(project, run):
    output = run(project, "TRACKSTACK_SINKS=sqlite,mlflow dvc exp run --temp -n my-exp -S train.lr=0.01").stdout
    assert re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)[-2:] == ["train", "evaluate"]
    assert run(project, "git status --porcelain").stdout == ""
    wait_until_nobody_delivers(project)
    rows = json.loads(run(project, "trackstack runs list --json").stdout)
    assert [row["name"] for row in rows] == ["my-exp"]
    assert "test_accuracy" in rows[0]["metrics"]
    assert sorted(in_mlflow(project)) == sorted(in_sqlite(project)) == sorted(in_journals(project))
    assert f"refs/trackstack/{rows[0]['run']}" in run(project, "git for-each-ref refs/trackstack").stdout


def test_records_that_were_lost_are_rebuilt_from_what_dvc_holds(project, run):
    run(project, "dvc exp run -n slow -S train.lr=0.01 && git checkout -q . && dvc checkout -q")
    before = {row["run"]: row["metrics"] for row in json.loads(run(project, "trackstack runs list --json").stdout)}
    run(project, "rm -rf runs project.db mlflow.db")
    output = run(project, "TRACKSTACK_SINKS=sqlite,mlflow trackstack sync --all-exps").stdout
    assert output.count("rebuilt from") == 2
    after = {row["run"]: row["metrics"] for row in json.loads(run(project, "trackstack runs list --json").stdout)}
    for name, metrics in before.items():
        assert after[name] == pytest.approx(metrics)
    assert len(statuses(project)) == 2
    assert sorted(in_mlflow(project)) == sorted(in_sqlite(project))
    assert "has its record" in run(project, "trackstack sync --rev slow").stdout


def test_the_lease_falls_with_its_holder(tmp_path):
    script = "import sys; from pathlib import Path; from trackstack.tracking.lease import take_lease; take_lease(Path('r1')); print('held', flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", script],
        cwd=tmp_path,
        env=environment(tmp_path, ""),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout.readline() == "held\n"
    assert is_live(tmp_path / "r1")
    process.kill()
    process.communicate()
    assert not is_live(tmp_path / "r1")
