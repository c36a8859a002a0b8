"""slurm/repro.sh and its supervisor on a real cluster: in the checkout, and pinned."""

import json
import re
import sqlite3
import sys
import time
from pathlib import Path

import pytest
from support.projects import ROOT, command_environment, edit_yaml, run_in


@pytest.fixture
def remote_project(project, tmp_path):
    """The tiny project with its raw data at a remote, so that a clone can pull it."""
    run_in(project, ["dvc", "remote", "add", "-q", "-d", "store", str(tmp_path / "a remote")])
    run_in(project, "git commit -qam 'A remote' && dvc push -q data/raw/tiny.dvc")
    return project


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


def test_a_pinned_job_runs_the_commit_of_its_submission_also_after_a_requeue(cluster, cheap_project):
    edit_yaml(cheap_project / "params.yaml", {"train": {"epochs": 40}})
    run_in(cheap_project, "git commit -qam 'To be run'")
    job = cluster.run(cheap_project, "sbatch --parsable --hold slurm/repro.sh --pinned").stdout.strip()
    commit = run_in(cheap_project, "git rev-parse HEAD").stdout.strip()
    (cheap_project / "stages/train.py").write_text('raise SystemExit("edited after submission")\n')
    # Git's log and Slurm's times know whole seconds.
    later = command_environment() | {"GIT_COMMITTER_DATE": f"@{int(time.time()) + 2} +0000"}
    run_in(cheap_project, "git commit -qam 'To be run another time'", env=later)
    cluster.run(cheap_project, ["scontrol", "release", job])
    clone = cheap_project / f"runs/.jobs/{job}/clone"
    cluster.until(lambda: list(cheap_project.glob("runs/r*/lease.json")), 90, "the training")
    assert run_in(clone, "git rev-parse HEAD").stdout.strip() == commit
    cluster.run(cheap_project, ["scontrol", "requeue", job])
    cluster.until(lambda: cluster.job(job)["Restarts"] == "1", 30, "the requeue")
    log = Path(cluster.wait(job)["StdOut"]).read_text()
    assert log.count(f"commit: {commit}\n") == 2
    assert log.count("params.yaml: dataset tiny, model cnn") == 2, "trackstack check"
    (name,) = re.findall(r"^experiment (\S+): dvc exp show", log, re.MULTILINE)
    ref = f"refs/exps/{commit[:2]}/{commit[2:]}/{name}"
    assert "edited" not in run_in(cheap_project, ["git", "show", f"{ref}:stages/train.py"]).stdout
    assert not clone.parent.exists()


def test_a_pinned_job_of_somebody_elses_pipeline_brings_its_experiment_back(cluster, linear):
    command = "sbatch --parsable slurm/repro.sh --pinned"
    job = cluster.run(linear, command, PYTHONPATH=str(ROOT / "src")).stdout.strip()
    log = Path(cluster.wait(job)["StdOut"]).read_text()
    (name,) = re.findall(r"^experiment (\S+): dvc exp show", log, re.MULTILINE)
    commit = run_in(linear, "git rev-parse HEAD").stdout.strip()
    shown = run_in(linear, ["git", "show", f"refs/exps/{commit[:2]}/{commit[2:]}/{name}:metrics.json"]).stdout
    assert json.loads(shown)["accuracy"] > 0.8
    assert re.search(r"^run: r[0-9a-f]{12}$", log, re.MULTILINE), log
    assert re.search(r"^stages: prepare \d+ s, train \d+ s, evaluate \d+ s$", log, re.MULTILINE), log


def test_this_repositorys_job_scripts_are_those_that_init_writes():
    for script in ("repro.sh", "sweep.sh"):
        template = ROOT / "src/trackstack/templates/slurm" / script
        assert (ROOT / "slurm" / script).read_bytes() == template.read_bytes()
