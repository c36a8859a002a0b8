"""The project database: the guide's tables and helpers, upgrades, and many processes at once."""

import contextlib
import json
import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trackstack import UserError
from trackstack.tracking import db

GUIDE_SQL = """
CREATE TABLE datasets (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL,
    version     TEXT NOT NULL,
    path        TEXT NOT NULL,
    num_samples INTEGER,
    created_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    description TEXT
);
CREATE TABLE runs (
    id          INTEGER PRIMARY KEY,
    dataset_id  INTEGER REFERENCES datasets(id),
    model_name  TEXT NOT NULL,
    config      TEXT,          -- JSON string of hyperparameters
    started_at  TIMESTAMP DEFAULT CURRENT_TIMESTAMP,
    finished_at TIMESTAMP,
    status      TEXT DEFAULT 'running'
);
CREATE TABLE metrics (
    id       INTEGER PRIMARY KEY,
    run_id   INTEGER REFERENCES runs(id),
    epoch    INTEGER,
    metric   TEXT NOT NULL,    -- e.g. 'val_loss', 'accuracy'
    value    REAL NOT NULL
);
"""
ROWS = """
INSERT INTO datasets (id, name, version, path) VALUES (7, 'sensor', 'v1', 'data/raw/sensor_v1');
INSERT INTO runs (id, dataset_id, model_name, config) VALUES (11, 7, 'cnn', '{"lr": 0.1}');
INSERT INTO metrics (id, run_id, epoch, metric, value) VALUES
    (21, 11, 1, 'loss', 0.5), (22, 11, 1, 'loss', 0.25), (23, 11, NULL, 'test', 1.5);
"""
WRITER = """
import sys
from trackstack.tracking import db
print("ready", flush=True)
sys.stdin.read()
run = db.log_run(None, sys.argv[1], {"seed": 1})
for epoch in range(50):
    db.log_metric(run, epoch, "loss", epoch / 7)
"""


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    return tmp_path


def made_by(sql, path):
    with closing(sqlite3.connect(path)) as connection:
        connection.executescript(sql)
    return path


def rows(path, query):
    with closing(db.get_connection(path)) as connection:
        return [tuple(row) for row in connection.execute(query)]


def columns(path, table):
    with closing(sqlite3.connect(path)) as connection:
        return [row[1:] for row in connection.execute(f"PRAGMA table_info({table})")]


def open_files():
    return sorted(link.resolve() for link in Path("/proc/self/fd").iterdir() if link.exists())


@pytest.mark.parametrize("table", ["datasets", "runs", "metrics"])
def test_a_new_database_has_the_guides_columns_first_and_unchanged(tmp_path, table):
    guide = columns(made_by(GUIDE_SQL, tmp_path / "guide.db"), table)
    db.get_connection(tmp_path / "project.db").close()
    assert columns(tmp_path / "project.db", table)[: len(guide)] == guide


def test_a_database_made_by_the_guides_sql_keeps_its_rows_and_ids(tmp_path):
    path = made_by(GUIDE_SQL + ROWS, tmp_path / "project.db")
    assert rows(path, "SELECT id, name, version, path, digest FROM datasets") == [
        (7, "sensor", "v1", "data/raw/sensor_v1", None)
    ]
    assert rows(path, "SELECT id, dataset_id, model_name, config, status, run_key, reproduced FROM runs") == [
        (11, 7, "cnn", '{"lr": 0.1}', "running", None, 0)
    ]
    assert rows(path, "SELECT id, run_id, epoch, metric, value FROM metrics ORDER BY id") == [
        (21, 11, 1, "loss", 0.5),
        (22, 11, 1, "loss", 0.25),
        (23, 11, None, "test", 1.5),
    ]
    assert rows(path, "PRAGMA user_version") == [(1,)]


def test_an_upgraded_database_has_the_schema_of_a_new_one(tmp_path):
    schema = "SELECT type, name, tbl_name FROM sqlite_master ORDER BY type, name"
    old, new = made_by(GUIDE_SQL, tmp_path / "old.db"), tmp_path / "new.db"
    assert rows(old, schema) == rows(new, schema)
    for table in ("datasets", "runs", "metrics"):
        assert columns(old, table) == columns(new, table)


def test_a_point_that_an_upgraded_database_holds_is_not_added_again(home):
    made_by(GUIDE_SQL + ROWS, home / "project.db")
    db.log_metric(11, 1, "loss", 9.0)
    db.log_metric(11, 1, "loss", math.nan)
    db.log_metric(11, 2, "loss", 0.125)
    found = rows(None, "SELECT epoch, value FROM points WHERE metric = 'loss' ORDER BY epoch, value")
    assert found == [(1, 0.25), (1, 0.5), (2, 0.125)]


def test_a_database_of_a_newer_schema_is_refused_and_not_touched(tmp_path):
    path = made_by(GUIDE_SQL + "PRAGMA user_version = 99;", tmp_path / "project.db")
    before = path.read_bytes()
    with pytest.raises(UserError) as caught:
        db.get_connection(path)
    assert str(caught.value) == (
        f"{path}: schema version 99, but this trackstack knows versions up to 1; update trackstack"
    )
    assert path.read_bytes() == before


def test_another_programs_database_is_refused_and_not_touched(tmp_path):
    path = made_by("CREATE TABLE runs (run_uuid TEXT, status TEXT)", tmp_path / "mlflow.db")
    before = path.read_bytes()
    with pytest.raises(UserError, match=r"its table runs has no column config.*move it aside"):
        db.get_connection(path)
    assert path.read_bytes() == before


def test_an_upgrade_that_fails_half_way_changes_nothing(tmp_path):
    path = made_by(GUIDE_SQL + ROWS + "CREATE TABLE lineage (mine TEXT);", tmp_path / "project.db")
    before = path.read_bytes()
    with pytest.raises(UserError, match="table lineage already exists"):
        db.get_connection(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused_and_not_touched(tmp_path):
    path = tmp_path / "project.db"
    path.write_text("some notes of mine\n" * 100)
    with pytest.raises(UserError) as caught:
        db.get_connection(path)
    assert str(caught.value).startswith(f"{path}: damaged (file is not a database); type: trackstack repair && ")
    assert path.read_text() == "some notes of mine\n" * 100


def test_a_missing_folder_is_said_in_a_line(tmp_path):
    path = tmp_path / "missing" / "project.db"
    with pytest.raises(UserError) as caught:
        db.get_connection(path)
    assert str(caught.value) == f"{path}: cannot be opened; expected a folder that exists and is writable"


def test_a_database_in_wal_mode_is_put_back_to_the_rollback_journal(tmp_path):
    path = made_by("PRAGMA journal_mode = WAL;" + GUIDE_SQL, tmp_path / "project.db")
    db.get_connection(path).close()
    with closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("delete",)


def test_each_connection_enforces_foreign_keys_and_waits_a_minute(tmp_path):
    for _ in range(2):
        assert rows(tmp_path / "project.db", "PRAGMA foreign_keys") == [(1,)]
        assert rows(tmp_path / "project.db", "PRAGMA busy_timeout") == [(60_000,)]


def test_the_helpers_work_as_in_the_guide(home):
    with db.transaction() as connection:
        connection.execute("INSERT INTO datasets (name, version, path) VALUES ('sensor', 'v1', 'data/raw')")
    run = db.log_run(1, "cnn", {"lr": 0.003})
    db.log_metric(run, 1, "val_accuracy", 0.91)
    db.log_metric(run, 2, "val_accuracy", 0.95)
    with closing(db.get_connection()) as connection:
        found = connection.execute(
            "SELECT d.name, r.config, r.status, max(m.value) AS best FROM runs r "
            "JOIN metrics m ON m.run_id = r.id JOIN datasets d ON d.id = r.dataset_id "
            "WHERE m.metric = 'val_accuracy' GROUP BY r.id"
        ).fetchone()
    assert (found["name"], found["status"], found["best"]) == ("sensor", "running", 0.95)
    assert json.loads(found["config"]) == {"lr": 0.003}
    assert (home / "project.db").exists()


def test_the_database_lies_in_the_home_then_in_dvcs_root_then_here(tmp_path, monkeypatch):
    for name in ("home", "root", "here"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("DVC_ROOT", str(tmp_path / "root"))
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path / "home"))
    for name, variable in (("home", "TRACKSTACK_HOME"), ("root", "DVC_ROOT"), ("here", None)):
        assert not list((tmp_path / name).iterdir())
        db.log_run(None, name, {})
        assert (tmp_path / name / "project.db").exists()
        if variable:
            monkeypatch.delenv(variable)


def test_numpys_numbers_are_logged_as_numbers(home):
    run = db.log_run(None, "cnn", {"lr": np.float32(0.5), "layers": np.int64(3)})
    db.log_metric(run, np.int64(4), "loss", np.float32(0.25))
    assert rows(None, "SELECT config FROM runs") == [('{"lr": 0.5, "layers": 3.0}',)]
    assert rows(None, "SELECT typeof(epoch), epoch, typeof(value), value FROM metrics") == [
        ("integer", 4, "real", 0.25)
    ]


def test_a_diverged_run_is_not_among_the_best_and_its_points_are_not_lost(home):
    run = db.log_run(None, "cnn", {})
    for epoch, value in enumerate([0.5, math.nan, math.inf, -math.inf]):
        db.log_metric(run, epoch, "loss", value)
    assert rows(None, "SELECT epoch FROM metrics WHERE value > 0.9") == [(2,)]
    with closing(db.get_connection()) as connection:
        frame = pd.read_sql("SELECT epoch, value FROM points ORDER BY epoch", connection)
    np.testing.assert_array_equal(frame["value"], [0.5, np.nan, np.inf, -np.inf])


def test_the_first_record_of_a_point_wins(home):
    run = db.log_run(None, "cnn", {})
    for epoch, first, second in [(1, 0.5, 0.7), (2, math.nan, 0.7), (3, 0.5, math.nan), (4, math.nan, math.nan)]:
        db.log_metric(run, epoch, "loss", first)
        db.log_metric(run, epoch, "loss", second)
    assert rows(None, "SELECT epoch, value FROM points ORDER BY epoch") == [
        (1, 0.5),
        (2, None),
        (3, 0.5),
        (4, None),
    ]


def test_the_guides_own_insert_cannot_double_a_point(home):
    run = db.log_run(None, "cnn", {})
    insert = "INSERT INTO metrics (run_id, epoch, metric, value) VALUES (?, 1, 'loss', 0.5)"
    with closing(db.get_connection()) as connection:
        connection.execute(insert, (run,))
        connection.commit()
        with pytest.raises(sqlite3.IntegrityError):
            connection.execute(insert, (run,))
    assert rows(None, "SELECT epoch, value FROM points") == [(1, 0.5)]


def test_a_metric_of_an_unknown_run_is_refused_in_a_line(home):
    for value in (0.5, math.nan):
        with pytest.raises(UserError, match=r"project.db: no such dataset or run; expected an id from"):
            db.log_metric(1, 1, "loss", value)
    with pytest.raises(UserError, match="no such dataset or run"):
        db.log_run(1, "cnn", {})
    assert rows(None, "SELECT * FROM points") == []


def test_a_transaction_that_fails_leaves_nothing(home):
    with contextlib.suppress(ZeroDivisionError), db.transaction() as connection:
        connection.execute("INSERT INTO runs (model_name) VALUES ('cnn')")
        assert 1 / 0
    assert rows(None, "SELECT * FROM runs") == []


def test_no_connection_stays_open(home):
    run = db.log_run(None, "cnn", {})
    made_by("PRAGMA user_version = 99", home / "newer.db")
    before = open_files()
    db.log_metric(run, 1, "loss", 0.5)
    errors = []  # as long as an error is kept, so are the variables of the functions that it passed
    for attempt in (lambda: db.log_metric(99, 1, "loss", 0.5), lambda: db.get_connection(home / "newer.db")):
        try:
            attempt()
        except UserError as error:
            errors.append(error)
    assert len(errors) == 2
    assert open_files() == before


def test_eight_processes_start_at_once_on_no_file_and_lose_nothing(home):
    environment = os.environ | {"PYTHONPATH": str(Path(db.__file__).parents[2])}
    gate, release = os.pipe()
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", WRITER, f"model {number}"],
            env=environment,
            stdin=gate,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for number in range(8)
    ]
    os.close(gate)
    assert [writer.stdout.readline() for writer in writers] == ["ready\n"] * 8
    os.close(release)
    assert [writer.communicate(timeout=900) for writer in writers] == [("", "")] * 8
    assert [writer.returncode for writer in writers] == [0] * 8
    found = rows(
        None,
        "SELECT model_name, count(*), count(DISTINCT epoch), sum(value = epoch / 7.0) FROM runs "
        "JOIN metrics ON run_id = runs.id GROUP BY runs.id ORDER BY model_name",
    )
    assert found == sorted((f"model {number}", 50, 50, 50) for number in range(8))
