"""MLflow's address: made for a folder of any name, kept without its password, and used with it."""

import os
import sqlite3
from contextlib import closing

import pytest
from sqlalchemy import create_engine, text

from trackstack import UserError
from trackstack.system.redaction import redact
from trackstack.tracking.addresses import (
    database_file,
    database_to_open,
    mlflow_uri,
    refuse_closed_database,
    sqlite_uri,
    with_password,
)


@pytest.mark.parametrize(
    "given",
    ["postgresql://ml:S3cret%40@host/db", "mysql+pymysql://host/db?user=ml&password=S3cret", "https://token@host/x"],
)
def test_a_recorded_address_works_again_where_the_variable_has_its_password(given, tmp_path, monkeypatch):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", given)
    recorded = redact(mlflow_uri(tmp_path))
    assert not any(secret in recorded for secret in ("S3cret", "token"))
    assert with_password(recorded) == given
    assert with_password("postgresql://host/another") == "postgresql://host/another"
    monkeypatch.delenv("MLFLOW_TRACKING_URI")
    assert with_password(recorded) == recorded


@pytest.mark.parametrize("name", ["50%25 off", "100%", "really?", "a#1; b&c=d", "%s {x}", "line\nend", "é"])
def test_the_database_of_a_folder_of_any_name_is_the_one_that_sqlalchemy_opens(name, tmp_path, monkeypatch):
    folder = tmp_path / name
    folder.mkdir()
    with closing(sqlite3.connect(folder / "mlflow.db")) as database:
        database.execute("create table here (x)")
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(folder)
    for uri in (mlflow_uri(folder), sqlite_uri(folder / "mlflow.db")):
        assert database_to_open(uri) == folder / "mlflow.db"
        engine = create_engine(uri)
        with engine.connect() as connection:
            assert connection.execute(text("select count(*) from here")).scalar() == 0
        engine.dispose()
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:///mlflow.db?timeout=30")
    assert database_file(mlflow_uri(tmp_path)) == folder / "mlflow.db"
    assert mlflow_uri(tmp_path).endswith("/mlflow.db?timeout=30")


def test_a_folder_that_mlflow_cannot_name_is_one_line(tmp_path):
    with pytest.raises(UserError, match=r"/mlflow\.db: MLflow opens no database in a folder whose name is not UTF-8"):
        database_to_open(mlflow_uri(tmp_path / os.fsdecode(b"caf\xe9")))


def test_a_database_that_lets_nobody_in_is_one_line_without_the_password(tmp_path):
    refuse_closed_database(sqlite_uri(tmp_path / "mlflow.db"))
    with pytest.raises(UserError, match=r"^none://127\.0\.0\.1:1/db: Can't load plugin.*; see MLFLOW_TRACKING_URI$"):
        refuse_closed_database("none://ml:S3cret@127.0.0.1:1/db")
