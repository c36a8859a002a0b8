"""A home in which this process records runs, and what its journals say."""

import json

import pytest


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, value in {"TRACKSTACK_HOME": str(tmp_path), "TRACKSTACK_SINKS": "", "HF_HUB_OFFLINE": "1"}.items():
        monkeypatch.setenv(name, value)
    for name in ("DVC_STAGE", "DVC_EXP_NAME", "MLFLOW_RUN_NAME", "TRACKSTACK_STOP_FILE", "TRACKSTACK_DEADLINE"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def points():
    """Metric, step and value of every record below a home, in all attempts."""

    def read(home):
        journals = sorted(home.glob("runs/*/journal-*.jsonl"))
        records = [json.loads(line) for journal in journals for line in journal.read_text().splitlines()]
        return [
            (name, record["step"], value)
            for record in records
            if record["type"] == "metrics"
            for name, value in record["values"].items()
        ]

    return read
