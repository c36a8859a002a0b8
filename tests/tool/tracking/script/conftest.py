"""A home in which this process records runs."""

import json

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    for name in ("DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_RUN_NAME", "TRACKSTACK_STOP_FILE", "TRACKSTACK_DEADLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def ends(home):
    """Statuses and errors of all attempts."""

    def read():
        journals = sorted(home.glob("runs/*/journal-*.jsonl"))
        records = [json.loads(line) for journal in journals for line in journal.read_text().splitlines()]
        return [(record["status"], record["error"]) for record in records if record["type"] == "end"]

    return read
