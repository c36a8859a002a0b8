"""Searches on this machine, in somebody else's repository, with kills of whatever is at work."""

import hashlib
import json
import os
import re
import signal

import psutil
from support.foreign import change, commit_files, foreign_environment
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


def digest_of_training(project, trial):
    """Of the model that a training without any search makes of a trial's values: it was neither paused nor killed."""
    (values,) = [
        line["values"] for line in decisions(project) if line["event"] == "suggest" and line["trial"] == trial
    ]
    change(project, train={name.rpartition(".")[2]: value for name, value in values.items()} | {"pause": 0})
    home = {"TRACKSTACK_HOME": str(project / "elsewhere")}
    run_in(project, "dvc repro train", env=foreign_environment(**home))
    return hashlib.md5((project / "model.json").read_bytes()).hexdigest()


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
        until(lambda: at_work(linear, "train.py"), "it to go on")
        os.kill(process.pid, signal.SIGKILL)
    run_in(linear, COMMAND, env=foreign_environment())  # its worker is not beside the lost one
    assert decisions(linear) == decisions(other)
    assert run_in(linear, "trackstack search replay").stdout == "search space: same decisions\n"
    assert finished_models(linear) == finished_models(other)
    (name,) = experiments(linear)
    assert digest_of_training(other, trial=int(name[-4:])) in finished_models(linear).popitem()[1]


IRIS = """
    import json
    from pathlib import Path

    import numpy as np
    from sklearn.datasets import load_iris
    from sklearn.linear_model import SGDClassifier

    import trackstack

    params = json.loads(Path("params.json").read_text())
    x, y = load_iris(return_X_y=True)
    model, odd = SGDClassifier(alpha=params["alpha"], random_state=0), np.arange(len(x)) % 2 == 1
    with trackstack.start_run("iris", params) as run:
        for epoch in range(4):
            model.partial_fit(x[odd], y[odd], classes=[0, 1, 2])
            run.log({"val_accuracy": model.score(x[~odd], y[~odd])}, epoch)
    Path("model.json").write_text(json.dumps(model.coef_.tolist()))
"""
IRIS_STAGE = """
    stages:
      train:
        cmd: python train.py
        deps: [train.py]
        params: [{params.json: [alpha]}]
        outs: [model.json]
"""


def test_a_search_over_a_scikit_learn_script_without_checkpoints_begins_trials_again_and_says_so(tmp_path):
    space = "params.json:alpha: {log: [1e-5, 1e-1]}\n"
    files = {"train.py": IRIS, "dvc.yaml": IRIS_STAGE, "params.json": '{"alpha": 0.01}', "space.yaml": space}
    commit_files(tmp_path, files)
    command = "trackstack search space.yaml --trials 2 --metric val_accuracy --prune asha --rungs 2 --sampler random"
    said = run_in(tmp_path, f"{command} --local", env=foreign_environment()).stdout
    (end,) = [line for line in decisions(tmp_path) if line["event"] == "end"]
    assert (
        f"trial {end['trial']}: again from step 0: no checkpoint was kept at the rung that it had reached\n" in said
    )
    status = run_in(tmp_path, "trackstack search status").stdout.splitlines()[-1]
    assert status == (
        "2 of 2 trials: 1 finished, 1 paused; "
        "1 began again before a rung that they had reached: no checkpoint was kept there"
    )
    assert run_in(tmp_path, "trackstack search replay").stdout == "search space: same decisions\n"


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
