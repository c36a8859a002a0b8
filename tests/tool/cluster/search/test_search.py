"""Searches on this machine, in somebody else's repository, with kills of whatever is at work."""

import json
import os
import re
import signal

import psutil
from support.foreign import change, foreign_environment
from support.processes import started, until
from support.projects import ROOT, run_in
from support.sweeps import experiments

SPACE = "params.json:train.lr: {log: [1e-3, 0.5]}\nparams.json:train.seed: {range: [0, 9]}\n"
COMMAND = ["trackstack", "search", "space.yaml", "--trials", "4", "--metric", "train_accuracy", "--prune", "asha"]
COMMAND = [*COMMAND, "--sampler", "random", "--local"]
WORKER = "/space search"
"""The end of a task's command line."""


def at_work(project, what):
    """The processes of a search with some words in their command line."""
    found = psutil.process_iter(["cwd", "cmdline"])
    mine = [process for process in found if str(project) in (process.info["cwd"] or "")]
    return [process for process in mine if what in " ".join(process.info["cmdline"] or [])]


def kill(project, what):
    until(lambda: at_work(project, what), f"{what} to be at work")
    for process in at_work(project, what):
        try:
            process.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue


def decisions(project):
    lines = map(json.loads, (project / "runs/.sweeps/space/decisions.jsonl").read_text().splitlines())
    return [{name: line[name] for name in line if name != "seen"} for line in lines if line["event"] != "spent"]


def finished_models(project):
    return {
        ref: run_in(project, ["git", "show", f"{ref}:./dvc.lock"]).stdout
        for ref in run_in(project, "git for-each-ref --format='%(refname)' refs/exps").stdout.split()
        if ref.count("/") == 4
    }


def test_a_search_whose_stage_task_and_command_are_killed_decides_as_an_undisturbed_one(linear, tmp_path):
    """And what was paused and went on gives the same bytes as what never was."""
    change(linear, train={"pause": 0.02, "epochs": 12})
    (linear / "space.yaml").write_text(SPACE)
    run_in(linear, "git add space.yaml && git commit -qam 'A space'")
    other = tmp_path / "undisturbed"
    run_in(tmp_path, ["cp", "-a", str(linear), str(other)])
    run_in(other, COMMAND, env=foreign_environment())

    with started(COMMAND, cwd=linear, env=foreign_environment()) as process:
        kill(linear, "train.py")
        until(lambda: "trial 1" in process.stdout.readline(), "the next trial")
        kill(linear, WORKER)
        process.communicate(timeout=900)
    with started(COMMAND, cwd=linear, env=foreign_environment()) as process:
        until(lambda: at_work(linear, WORKER), "it to go on")
        os.kill(process.pid, signal.SIGKILL)
        kill(linear, WORKER)
    run_in(linear, COMMAND, env=foreign_environment())
    assert decisions(linear) == decisions(other)
    assert run_in(linear, "trackstack search replay").stdout == "search space: same decisions\n"
    assert finished_models(linear) == finished_models(other)
    assert len(experiments(linear)) == 1


def test_on_slurm_a_task_is_requeued_and_another_killed_and_the_command_typed_again_completes_the_search(
    cluster, linear
):
    change(linear, train={"pause": 0.1, "epochs": 12})
    (linear / "space.yaml").write_text(SPACE)
    run_in(linear, "git add space.yaml && git commit -qam 'A space'")
    command = [*COMMAND[:-1], "--max-parallel", "2"]
    code = {"PYTHONPATH": str(ROOT / "src")}  # in the place of an installation
    said = cluster.run(linear, command, **code).stdout
    (array,) = re.findall(r"2 tasks: job (\d+)", said)
    cluster.until(lambda: len(list(linear.glob("runs/r*/checkpoints/epoch.json"))) == 2, "two trainings")
    cluster.run(linear, ["scontrol", "requeue", f"{array}_0"])
    cluster.run(linear, ["scancel", "--signal=KILL", "--full", f"{array}_1"])
    cluster.until(lambda: not cluster.run(linear, "squeue -h").stdout, "the tasks' end")
    cluster.run(linear, command, **code)
    cluster.until(lambda: not cluster.run(linear, "squeue -h").stdout, "the search's end")
    assert run_in(linear, "trackstack search replay").stdout == "search space: same decisions\n"
    states = [
        trial["state"] for trial in json.loads(run_in(linear, "trackstack search status --json").stdout)["trials"]
    ]
    assert sorted(states) == ["finished", "paused", "paused", "paused"]
    assert len(experiments(linear)) == 1
    assert "job" not in cluster.run(linear, command, **code).stdout, "nothing is left to be done"
