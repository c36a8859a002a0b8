"""How a run's folder is delivered by the process that holds its lock, on real back ends."""

import re

from support.projects import run_in
from support.recording import SCRIPT, in_mlflow, in_sqlite, record, trackstack, wait_until_nobody_delivers
from support.sinks import START, STARTED, metrics, note_promotion

from trackstack.records.query import find_run
from trackstack.tracking.journal import Journal
from trackstack.tracking.sync import Delivery, sync_run

WITH_MODEL = (
    SCRIPT
    + """
    from pathlib import Path
    run.log_artifact(Path("script.py"), kind="model", loader="odd_loader:load")
"""
)
LOADER = """
import subprocess
import sys

import numpy as np
import torch

LOCK = "import fcntl; fcntl.lockf(open('mlflow.db.lock', 'r+'), fcntl.LOCK_EX | fcntl.LOCK_NB)"


def load(path):
    subprocess.run([sys.executable, "-c", LOCK], cwd=path.parents[4], timeout=900, check=True)
    return torch.nn.Linear(3, 2), np.zeros((1, 3), np.float32)
"""


def test_a_model_is_exported_while_others_may_write_the_database_and_a_promotion_gets_out_meanwhile(tmp_path):
    """With the loader at home, and while the process lives that delivers."""
    from mlflow.tracking import MlflowClient

    record(tmp_path, "mlflow", "mine", "1", script=WITH_MODEL, TRACKSTACK_LOG_MODELS="none")
    wait_until_nobody_delivers(tmp_path)
    (folder,) = (tmp_path / "runs").glob("r*/")
    delivery = Delivery(folder)
    delivery.deliver_points()
    (tmp_path / "src").mkdir()
    (tmp_path / "src/odd_loader.py").write_text(LOADER)
    assert sync_run(folder) == {}
    note_promotion(find_run(tmp_path, folder.name).series, "odd", "champion")
    delivery.deliver_points()
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id])
    assert run.data.tags["trackstack.promoted"] == "odd@champion"


def test_a_series_that_gets_through_does_not_hide_one_that_did_not(tmp_path):
    folder = tmp_path / "runs/r0123456789ab"
    (tmp_path / "notes.db").write_text("some notes of mine\n" * 100)
    artifacts = str(tmp_path / "mlartifacts")
    for number, database in ((1, "notes.db"), (2, "mlflow.db")):
        journal = Journal(folder)
        mlflow = {"uri": f"sqlite:///{tmp_path / database}", "artifacts": artifacts, "experiment": "trackstack"}
        destinations = {"mlflow": mlflow}
        journal.write(START | {"attempt": number, "series": number, "destinations": destinations})
        journal.write(metrics(0, loss=float(number)))
        journal.write({"type": "end", "time": STARTED, "status": "finished", "error": None})
        journal.close()
    delivery = Delivery(folder)
    delivery.deliver_points()
    assert list(delivery.problems) == ["mlflow"]
    assert "file is not a database" in delivery.problems["mlflow"]
    assert in_mlflow(tmp_path)


def test_a_home_that_was_moved_is_delivered_where_it_is_and_says_what_mlflow_left_behind(tmp_path):
    script = f'{SCRIPT}    from pathlib import Path\n    run.log_artifact(Path("script.py"))\n'
    before, home = tmp_path / "before", tmp_path / "it's here"
    record(before, "sqlite,mlflow", "first", "2", script=script)
    wait_until_nobody_delivers(before)
    before.rename(home)
    (home / "project.db").unlink()
    assert "1 run looked at, 0 problems" in trackstack(home, "sync")
    record(home, "sqlite,mlflow", "second", "3", script=script)
    wait_until_nobody_delivers(home)
    assert len(in_sqlite(home)) == len(in_mlflow(home)) == 15, "points need no folder"
    assert not before.exists(), "nothing is made again where it was"
    said = trackstack(home, "sync", expect=1)
    run_in(home, re.search(r"type: (mv .+) && trackstack sync;", said)[1])
    assert "2 runs looked at, 0 problems" in trackstack(home, "sync")
    assert len(list((home / "mlartifacts").rglob("script.py"))) == 2 + 1, "with the one that was moved along"
