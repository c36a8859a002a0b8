"""A job that is cancelled, meets its limit, is requeued and loses its node: one run, undisturbed bytes."""

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from support.projects import command_environment, edit_yaml, run_in

EPOCHS = 500


def epochs(project):
    """Epochs that were logged so far, over all attempts."""
    lines = [line for file in project.glob("runs/r*/journal-*.jsonl") for line in file.read_text().splitlines()]
    return max((json.loads(line).get("step", 0) for line in lines), default=0)


def after_more_epochs(cluster, project, job):
    """Wait until the job trains, and has trained for a while."""
    start = epochs(project)
    cluster.until(lambda: epochs(project) > start + 10, 180, f"job {job} to train on from epoch {start}")
    assert epochs(project) < EPOCHS - 1, "the training is too short for this test"


def restarted(cluster, job, times):
    def holds():
        found = cluster.job(job)
        return int(found["Restarts"]) == times and found["JobState"] == "RUNNING"

    cluster.until(holds, 150, f"job {job} to run for the {times + 1}. time")


def test_cancel_limit_requeue_and_node_failure_leave_one_run_with_the_bytes_of_an_undisturbed_one(
    cluster, project, tmp_path
):
    edit_yaml(project / "params.yaml", {"train": {"epochs": EPOCHS}})
    run_in(project, "git commit -qam 'A long training'")
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(project, undisturbed, symlinks=True)
    command, quick = "sbatch --parsable slurm/repro.sh", {"TRACKSTACK_CHECKPOINT_SECONDS": "1"}

    # A person cancels: it stays cancelled, and the next job goes on.
    job = cluster.run(project, command, **quick).stdout.strip()
    after_more_epochs(cluster, project, job)
    cluster.run(project, ["scancel", job])
    assert cluster.wait(job, "CANCELLED")["Restarts"] == "0"
    stopped = epochs(project)
    job = cluster.run(project, command, **quick).stdout.strip()
    after_more_epochs(cluster, project, job)
    log = Path(cluster.job(job)["StdOut"])
    assert f"after {stopped + 1} epochs" in re.search(r"^going on from step .*", log.read_text(), re.MULTILINE)[0]

    # Slurm looks at limits every 30 s: a training that stands still is not over before.
    trainer = json.loads(next(project.glob("runs/r*/lease.json")).read_text())["pid"]
    os.kill(trainer, signal.SIGSTOP)
    cluster.run(project, ["scontrol", "update", f"JobId={job}", "EndTime=now+5seconds"])
    with subprocess.Popen(["dvc", "repro", "-q"], cwd=undisturbed, env=command_environment()) as meanwhile:
        cluster.until(lambda: "DUE TO TIME LIMIT" in log.read_text(), 120, "the limit to come")
        with suppress(ProcessLookupError):  # Slurm has woken it, too
            os.kill(trainer, signal.SIGCONT)
        cluster.until(lambda: cluster.job(job)["Restarts"] == "1", 60, "the requeue")
        # Slurm has shortened the job's limit with its end: give it time again before it starts.
        cluster.run(project, ["scontrol", "update", f"JobId={job}", "TimeLimit=60"])
        restarted(cluster, job, 1)
        after_more_epochs(cluster, project, job)
        cluster.run(project, ["scontrol", "requeue", job])
        restarted(cluster, job, 2)
        after_more_epochs(cluster, project, job)
        node = cluster.job(job)["BatchHost"]
        cluster.run(project, ["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"])
        restarted(cluster, job, 3)
        cluster.wait(job, seconds=240)
    assert meanwhile.returncode == 0

    log = log.read_text()
    assert "requeued: it goes on from its checkpoint" in log
    steps = [int(step) for step in re.findall(r"^going on from step (\d+)", log, re.MULTILINE)]
    assert len(steps) == 4, "trained from the start once"
    assert steps == sorted(steps)
    runs = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert [run["status"] for run in runs if run["run"] in log.split("environment:")[1]] == ["finished"]
    model = "results/model/model.safetensors"
    assert (project / model).read_bytes() == (undisturbed / model).read_bytes()
    assert (project / "dvc.lock").read_text() == (undisturbed / "dvc.lock").read_text()
    assert not list(project.glob("runs/.jobs/*")), "the job has tidied up"


def test_two_nodes_train_one_model(cluster, project):
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.002}})
    options = "--nodes=2 --cpus-per-task=2"
    job = cluster.run(
        project, f"sbatch --parsable {options} slurm/repro.sh", TRACKSTACK_NPROC="1", TRACKSTACK_DEVICE="cpu"
    ).stdout.strip()
    cluster.wait(job, seconds=240)
    assert run_in(project, "dvc status").stdout.strip() == "Data and pipelines are up to date."
    runs = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert "finished" in {run["status"] for run in runs}
