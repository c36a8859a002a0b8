"""The loop of docs/own_loop.py keeps what it promises."""

import sqlite3
import subprocess
import sys

from support.projects import ROOT, command_environment


def test_the_docs_own_loop_goes_on_to_the_same_weights(tmp_path):
    command = [sys.executable, "-P", str(ROOT / "docs/own_loop.py")]
    environment = command_environment() | {"PYTHONPATH": str(ROOT / "src"), "TRACKSTACK_SINKS": "sqlite"}
    weights = []
    for home in (tmp_path / "undisturbed", tmp_path / "stopped"):
        home.mkdir()
        if home.name == "stopped":
            stopped = subprocess.Popen(
                command, cwd=home, env=environment | {"TRACKSTACK_STOP_FILE": str(home / "stop")}
            )
            while not any(b"train_loss" in file.read_bytes() for file in home.glob("runs/*/journal-1.jsonl")):
                assert stopped.poll() is None
            (home / "stop").touch()
            assert stopped.wait(60) == 75
            assert list(home.glob("runs/*/checkpoints/step-*"))
        done = subprocess.run(command, cwd=home, env=environment, capture_output=True, text=True, check=True)
        weights.append(done.stdout)
        connection = sqlite3.connect(home / "project.db")
        assert connection.execute("SELECT status FROM runs").fetchall() == [("finished",)]
        assert connection.execute("SELECT count(*) FROM points WHERE metric = 'train_loss'").fetchall() == [(20,)]
        connection.close()
    assert weights[0] == weights[1]
    assert len((ROOT / "docs/own_loop.py").read_text().splitlines()) <= 40
