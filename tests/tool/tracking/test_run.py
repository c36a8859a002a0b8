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

from support.processes import started
from support.projects import run_in
from support.recording import (
    EVERYTHING,
    SCRIPT,
    but_for_delays,
    children,
    environment,
    in_journals,
    in_sqlite,
    points,
    record,
    start,
    statuses,
    trackstack,
    wait_until_nobody_delivers,
)

NOISY = SCRIPT.replace("1 / (epoch + 1), ", "1 / (epoch + 1) + float(open('noise').read()), ", 1)


def test_a_person_s_own_script_is_recorded_in_ten_lines(tmp_path):
    assert record(tmp_path, "sqlite", "mine", "3") == ""
    assert statuses(tmp_path) == [("finished", 0)]
    assert len(points(tmp_path)) == 9


def test_four_processes_that_start_at_once_with_no_database_lose_nothing(tmp_path):
    """In two homes that share MLflow's database; benchmarks/delivery.py does it with 64."""
    shared, homes = f"sqlite:///{tmp_path}/shared.db", [tmp_path / "one", tmp_path / "two"]
    processes = [
        start(home, "sqlite,mlflow", f"run-{number}", "20", MLFLOW_TRACKING_URI=shared)
        for number in range(2)
        for home in homes
    ]
    outputs = [process.communicate(timeout=900) for process in processes]
    assert [(output, but_for_delays(error)) for output, error in outputs] == [("", "")] * 4
    assert [process.returncode for process in processes] == [0] * 4
    for home in homes:
        wait_until_nobody_delivers(home)
        assert statuses(home) == [("finished", 0)] * 2
        assert sorted(in_sqlite(home)) == sorted(in_journals(home))
        assert len(points(home)) == 2 * 60
    from mlflow.tracking import MlflowClient

    client = MlflowClient(shared)
    runs = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id])
    # Equal name, parameters and script are the same run, whichever home it was recorded in.
    assert len({run.data.tags["trackstack.run"] for run in runs}) == 2
    assert {run.info.status for run in runs} == {"FINISHED"}
    for run in runs:
        for metric in ("train_loss", "val_loss", "val_accuracy"):
            history = client.get_metric_history(run.info.run_id, metric)
            assert sorted(point.step for point in history) == list(range(20))


def test_the_same_run_twice_at_once_trains_once_and_names_the_owner(tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT + "    print('started', flush=True)\n    sys.stdin.read()\n")
    command, given = [sys.executable, "-P", "script.py", "same", "2"], environment(tmp_path, "sqlite")
    with started(command, cwd=tmp_path, env=given, stdin=subprocess.PIPE) as first:
        assert first.stdout.readline() == "started\n"
        second = run_in(tmp_path, command, expect=1, env=given)
        assert re.search(
            rf"run r[0-9a-f]{{12}}: process {first.pid} on \S+ \(in .*\) is at work on it", second.stderr
        )
        first.communicate("", timeout=900)
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 0)]
    assert len(points(tmp_path)) == 6


def test_execution_again_marks_the_run_reproduced_and_other_numbers_are_kept_beside(tmp_path):
    for noise in ("0", "0", "0.5"):
        (tmp_path / "noise").write_text(noise)
        record(tmp_path, "sqlite", "again", "2", script=NOISY)
    wait_until_nobody_delivers(tmp_path)
    assert statuses(tmp_path) == [("finished", 1), ("finished", 0)]
    values = {
        (attempt, epoch): value for _, attempt, metric, epoch, value in points(tmp_path) if metric == "train_loss"
    }
    assert values == {(1, 0): 1.0, (1, 1): 0.5, (3, 0): 1.5, (3, 1): 1.0}


def test_a_killed_run_and_its_killed_child_leave_every_point_to_be_synced(tmp_path):
    script = SCRIPT.replace("range(epochs)", "range(10**9)").replace("epoch / epochs", "0.5")
    for number, size in enumerate((0, 100_000), start=1):
        process = start(tmp_path, "sqlite,tensorboard", f"killed-{number}", "1", script=script)
        deadline = time.monotonic() + 120
        while len(journals := sorted(tmp_path.glob("runs/*/journal-1.jsonl"), key=os.path.getctime)) < number:
            assert process.poll() is None
            assert time.monotonic() < deadline, "it has no journal"
        while journals[-1].stat().st_size < size:
            assert process.poll() is None
            assert time.monotonic() < deadline, "it logs nothing"
        for pid in (*children(process.pid), process.pid):
            os.kill(pid, signal.SIGKILL)
        process.communicate(timeout=900)
    for _ in range(2):
        trackstack(tmp_path, "sync")
    assert set(statuses(tmp_path)) == {("lost", 0)}
    assert len(points(tmp_path)) > 1000
    assert sorted(in_sqlite(tmp_path)) == sorted(in_journals(tmp_path))


def test_a_failed_run_says_why(tmp_path):
    script = SCRIPT.replace("        run.log", "        raise ValueError('out of\\nideas')\n        run.log")
    record(tmp_path, "", "bad", "1", script=script, expect=1)
    row = json.loads(trackstack(tmp_path, "runs", "list", "--json"))[0]
    assert (row["status"], row["error"]) == ("failed", "ideas")


def test_secrets_reach_no_record(tmp_path):
    secret, password = "s3cr3t-value-of-a-key", "hunter2"
    name, remote = f"{secret} postgresql://me:{password}@host/db", f"https://me:{password}@example.org/x.git"
    sinks = ",".join(EVERYTHING if importlib.util.find_spec("wandb") else EVERYTHING[:-1])
    record(tmp_path, sinks, name, "2", remote, "--api-key", secret, X_API_KEY=secret, MY_PASSWORD=secret)
    wait_until_nobody_delivers(tmp_path)
    (tmp_path / "script.py").unlink()
    for file in tmp_path.rglob("*"):
        content = file.read_bytes() if file.is_file() else b""
        assert not [planted for planted in (secret, password) if planted.encode() in content], file


def test_a_database_of_a_newer_schema_is_one_line_and_not_touched(tmp_path):
    record(tmp_path, "sqlite", "one", "2")
    wait_until_nobody_delivers(tmp_path)
    connection = sqlite3.connect(tmp_path / "project.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    before = (tmp_path / "project.db").read_bytes()
    answer = json.loads(trackstack(tmp_path, "sync", "--json", expect=1))
    assert answer["runs"] == 1
    assert len(answer["problems"]) == 1
    assert "schema version 99, but this trackstack knows versions up to 1; update trackstack" in answer["problems"][0]
    assert (tmp_path / "project.db").read_bytes() == before
