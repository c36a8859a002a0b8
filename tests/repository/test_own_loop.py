"""The loop of docs/own_loop.py keeps what it promises."""

import runpy
import sqlite3
import subprocess
import sys

from support.projects import ROOT, command_environment

LOOP = ROOT / "docs/own_loop.py"


def weights_after(home, monkeypatch, capfd):
    """Run the loop in this process, in a folder, to its end."""
    monkeypatch.chdir(home)
    runpy.run_path(str(LOOP), run_name="__main__")
    connection = sqlite3.connect(home / "project.db")
    assert connection.execute("SELECT status FROM runs").fetchall() == [("finished",)]
    assert connection.execute("SELECT count(*) FROM points WHERE metric = 'train_loss'").fetchall() == [(20,)]
    connection.close()
    return capfd.readouterr().out


def test_the_docs_own_loop_goes_on_to_the_same_weights(tmp_path, monkeypatch, capfd):
    environment = command_environment() | {"PYTHONPATH": str(ROOT / "src"), "TRACKSTACK_SINKS": "sqlite"}
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    undisturbed, home = tmp_path / "undisturbed", tmp_path / "stopped"
    undisturbed.mkdir()
    home.mkdir()
    environment["TRACKSTACK_STOP_FILE"] = str(home / "stop")
    with subprocess.Popen([sys.executable, "-P", str(LOOP)], cwd=home, env=environment) as stopped:
        while not any(b"train_loss" in file.read_bytes() for file in home.glob("runs/*/journal-1.jsonl")):
            assert stopped.poll() is None
        (home / "stop").touch()
        assert stopped.wait(60) == 75
    assert list(home.glob("runs/*/checkpoints/step-*"))
    weights = weights_after(home, monkeypatch, capfd)
    assert weights.startswith("weights ")
    assert weights == weights_after(undisturbed, monkeypatch, capfd)
    assert len(LOOP.read_text().splitlines()) <= 40
