"""slurm/repro.sh and its supervisor on a real cluster."""

import json
import sqlite3
import sys
from pathlib import Path

import pytest
from conftest import run_in

ON_CLUSTER = "source slurm/site.env && "


@pytest.fixture
def remote_project(project, tmp_path):
    """The tiny project with its raw data at a remote, so that a clone can pull it."""
    run_in(project, ["dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "a remote")])
    run_in(project, "git commit -qam 'A remote' && dvc push -q data/raw/tiny.dvc")
    return project


def log_of(cluster, job):
    return Path(cluster.job(job)["StdOut"]).read_text()


def submit(cluster, folder, arguments="", **environment):
    command = f"source slurm/site.env && sbatch --parsable {arguments}"
    return cluster.run(folder, ["bash", "-c", command], **environment).stdout.strip()


def test_the_readmes_commands_in_a_fresh_clone_make_the_recorded_bytes(cluster, remote_project, tmp_path):
    clone = tmp_path / 'a clone; it\'s "quoted"'
    run_in(tmp_path, ["git", "clone", "-q", str(remote_project), str(clone)])
    (clone / ".venv-lab").symlink_to(Path(sys.executable).parent.parent)
    commands = "source slurm/site.env && make --old-file=.venv-lab/.installed venv && sbatch slurm/repro.sh"
    said = cluster.run(clone, ["bash", "-c", commands], TRACKSTACK_SINKS="sqlite,mlflow").stdout
    job = said.split()[-1]
    cluster.wait(job)
    log = (clone / f"logs/repro_{job}.out").read_text()
    assert run_in(clone, "dvc status").stdout.strip() == "Data and pipelines are up to date.", log
    assert run_in(clone, "git status --porcelain").stdout == "", "dvc.lock is as it was"
    beginning, end = log.split("Running stage 'parquet'")[0], log.split("Running stage 'evaluate'")[1]
    assert f"environment: {clone / '.venv-lab'}" in beginning
    assert "device: CPU" in beginning
    assert f"scancel {job}" in beginning
    for part in ("test_accuracy", "run: r", "stages: parquet", "s of CPU", "finished"):
        assert part in end, log
    with sqlite3.connect(clone / "project.db") as database:
        tags = database.execute("SELECT slurm_job_id, run_key FROM runs").fetchall()
    assert [row[0] for row in tags] == [job]
    with sqlite3.connect(clone / "mlflow.db") as database:
        ids = database.execute("SELECT value FROM tags WHERE key = 'trackstack.slurm_job_id'").fetchall()
    assert ids == [(job,)]
    shown = json.loads(run_in(clone, ["trackstack", "runs", "show", tags[0][1], "--json"]).stdout)
    assert shown["tags"]["slurm_job_id"] == job
