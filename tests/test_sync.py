"""How a run's folder is delivered by the process that holds its lock, on real back ends."""

from tracking_runs import SCRIPT, record, wait_until_nobody_delivers

from trackstack.runs import promote_run
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
    subprocess.run([sys.executable, "-c", LOCK], cwd=path.parents[4], check=True)
    return torch.nn.Linear(3, 2), np.zeros((1, 3), np.float32)
"""


def recorded(home):
    """A finished run in MLflow, but for its model; its folder."""
    record(home, "mlflow", "mine", "1", script=WITH_MODEL, TRACKSTACK_LOG_MODELS="none")
    wait_until_nobody_delivers(home)
    (folder,) = (home / "runs").iterdir()
    return folder


def test_a_model_is_exported_while_others_may_write_the_database(tmp_path, monkeypatch):
    folder = recorded(tmp_path)
    (tmp_path / "odd_loader.py").write_text(LOADER)
    monkeypatch.syspath_prepend(tmp_path)
    assert sync_run(folder) == {}


def test_a_promotion_gets_out_while_the_process_that_delivers_lives(tmp_path):
    from mlflow.tracking import MlflowClient

    folder = recorded(tmp_path)
    delivery = Delivery(folder)
    delivery.points()
    assert promote_run(tmp_path, folder.name) == folder
    delivery.points()
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id])
    assert run.data.tags["trackstack.promoted"] == "true"
