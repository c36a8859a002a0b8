"""A job that is cancelled, meets its limit, is requeued and loses its node: one run, undisturbed bytes."""

import json
import os
import re
import shutil
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

from support.foreign import change, foreign_environment
from support.projects import ROOT, edit_yaml, run_in

EPOCHS = 400


def epochs(project):
    """Epochs that were logged so far, over all attempts."""
    lines = [line for file in project.glob("runs/r*/journal-*.jsonl") for line in file.read_text().splitlines()]
    return max((json.loads(line).get("step", 0) for line in lines), default=0)


def after_more_epochs(cluster, project, job):
    """Wait until the job trains, and has trained for a while."""
    start = epochs(project)
    cluster.until(lambda: epochs(project) > start + 5, f"job {job} to train on from epoch {start}")
    assert epochs(project) < EPOCHS - 1, "the training is too short for this test"


def restarted(cluster, job, times):
    def holds():
        found = cluster.job(job)
        return int(found["Restarts"]) == times and found["JobState"] == "RUNNING"

    cluster.until(holds, f"job {job} to run for the {times + 1}. time")


def test_cancel_limit_requeue_and_node_failure_leave_one_run_with_the_bytes_of_an_undisturbed_one(
    cluster, linear, tmp_path
):
    """In somebody else's repository, whose training mostly sleeps."""
    change(linear, train={"epochs": EPOCHS, "pause": 0.1})
    run_in(linear, "git commit -qam 'A long training'")
    undisturbed = tmp_path / "undisturbed"
    shutil.copytree(linear, undisturbed, symlinks=True)
    command, code = "sbatch --parsable slurm/repro.sh", {"PYTHONPATH": str(ROOT / "src")}

    # A person cancels: it stays cancelled, and the next job goes on.
    job = cluster.run(linear, command, **code).stdout.strip()
    after_more_epochs(cluster, linear, job)
    cluster.run(linear, ["scancel", job])
    assert cluster.wait(job, "CANCELLED")["Restarts"] == "0"
    stopped = epochs(linear)
    job = cluster.run(linear, command, **code).stdout.strip()
    after_more_epochs(cluster, linear, job)
    log = Path(cluster.job(job)["StdOut"])
    assert f"going on from epoch {stopped + 1}\n" in log.read_text()

    # Slurm looks at limits every 30 s: a training that stands still is not over before.
    trainer = json.loads(next(linear.glob("runs/r*/lease.json")).read_text())["pid"]
    os.kill(trainer, signal.SIGSTOP)
    cluster.run(linear, ["scontrol", "update", f"JobId={job}", "EndTime=now+5seconds"])
    meanwhile = subprocess.Popen(["dvc", "repro", "-q"], cwd=undisturbed, env=foreign_environment())
    try:
        cluster.until(lambda: "DUE TO TIME LIMIT" in log.read_text(), "the limit to come")
        with suppress(ProcessLookupError):  # Slurm has woken it, too
            os.kill(trainer, signal.SIGCONT)
        cluster.until(lambda: cluster.job(job)["Restarts"] == "1", "the requeue")
        # Slurm has shortened the job's limit with its end: give it time again before it starts.
        cluster.run(linear, ["scontrol", "update", f"JobId={job}", "TimeLimit=60"])
        restarted(cluster, job, 1)
        after_more_epochs(cluster, linear, job)
        cluster.run(linear, ["scontrol", "requeue", job])
        restarted(cluster, job, 2)
        after_more_epochs(cluster, linear, job)
        node = cluster.job(job)["BatchHost"]
        cluster.run(linear, ["scontrol", "update", f"NodeName={node}", "State=DOWN", "Reason=test"])
        restarted(cluster, job, 3)
        cluster.wait(job)
        assert meanwhile.wait(900) == 0
    finally:
        meanwhile.kill()

    log = log.read_text()
    assert "requeued: it goes on from its checkpoint" in log
    steps = [int(step) for step in re.findall(r"going on from epoch (\d+)", log)]
    assert len(steps) == 4
    assert steps == sorted(steps)
    assert min(steps) > 0, "trained from the start once, by the cancelled job"
    runs = json.loads(run_in(linear, "trackstack runs list --json", env=foreign_environment()).stdout)
    assert [run["status"] for run in runs] == ["finished"]
    for result in ("model.json", "dvc.lock"):
        assert (linear / result).read_bytes() == (undisturbed / result).read_bytes()
    assert not list(linear.glob("runs/.jobs/*")), "the job has tidied up"


def test_two_nodes_train_one_model(cluster, project):
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.002, "epochs": 1}})
    command = "sbatch --parsable --nodes=2 --cpus-per-task=2 slurm/repro.sh --single-item train"
    job = cluster.run(project, command, TRACKSTACK_NPROC="1", TRACKSTACK_DEVICE="cpu").stdout.strip()
    cluster.wait(job)
    assert run_in(project, "dvc status train").stdout.strip() == "Data and pipelines are up to date."
    runs = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert [run["status"] for run in runs] == ["finished"]
