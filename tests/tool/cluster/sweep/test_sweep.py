"""Sweeps on a real cluster, of this repository's own kind of project and of another one, and how they are summed up."""

import json
import re
import sqlite3

from support.foreign import change
from support.projects import ROOT, edit_yaml, run_in
from support.sweeps import at_work, experiments

from trackstack.cluster.sweep import TrialStatus, summary

GOING_ON = re.compile(r"r\w+: going on from epoch (\d+)")


def held_back(cluster, array):
    """How many tasks wait for others of their array, as Slurm says."""
    command = ["squeue", "--array", "--noheader", f"--jobs={array}", "--states=PENDING", "--format=%r"]
    return cluster.run(cluster.folder, command).stdout.split().count("JobArrayTaskLimit")


def until_nothing_is_queued(cluster):
    cluster.until(lambda: not cluster.run(cluster.folder, "squeue -h").stdout, "the sweep's end")


def at_work_or_queued(said, before, after):
    """How many trials the last line counts as running or queued, between these: some may have begun when it is written."""
    counts = said.splitlines()[-1].removeprefix(before).removesuffix(after)
    assert f"{before}{counts}{after}" == said.splitlines()[-1]
    assert re.fullmatch(r"(\d running(, )?)?(\d queued)?", counts)
    return sum(map(int, re.findall(r"\d", counts)))


def asked_for_mlflow(project):
    """The runs of which an attempt had MLflow among its back ends."""
    starts = [json.loads(file.read_text().split("\n")[0]) for file in project.glob("runs/r*/journal-*.jsonl")]
    return {start["run"] for start in starts if "mlflow" in start["destinations"]}


def test_six_trials_on_two_nodes_survive_failures_cancellation_and_edits(cluster, cheap_project):
    """First use of every database; one trial fails, three are cancelled, one is requeued, the sources change."""
    project = cheap_project
    edit_yaml(project / "params.yaml", {"train": {"epochs": 40}})
    rows = ["train.lr,train.seed", *(f"0.00{1 + number % 3},{number}" for number in range(5)), "100,0"]
    (project / "trials.csv").write_text("\n".join([*rows, rows[-1]]) + "\n")  # the last one twice
    run_in(project, "git add trials.csv && git commit -qam 'Trials of four seconds'")
    command = "trackstack sweep --file trials.csv"
    said = cluster.run(project, f"{command} --max-parallel 4", TRACKSTACK_SINKS="sqlite").stdout
    array = re.search(r"6 trials in 6 tasks: job (\d+)", said)[1]
    # What is edited from now on must reach no trial.
    (project / "stages/train.py").write_text('raise SystemExit("edited after submission")\n')
    (project / "src/trackstack/cluster/sweep/task.py").write_text('raise SystemExit("edited after submission")\n')
    cluster.until(lambda: len(at_work(project)) == 4 and held_back(cluster, array) == 2, "four trials at work")
    working = at_work(project)
    cluster.run(project, ["scancel", *working[:3]])
    cluster.run(project, ["scontrol", "requeue", working[3]])
    until_nothing_is_queued(cluster)
    trained = sum('"status":"finished"' in file.read_text() for file in project.glob("runs/r*/journal-*.jsonl"))
    run_in(project, "git checkout -q stages src")
    assert run_in(project, "git status --porcelain").stdout == "", "the checkout is untouched"
    trials = json.loads(cluster.run(project, "trackstack sweep status --json").stdout)["trials"]
    requeued = [trial for trial in trials if trial["job"] == working[3]]
    assert [(trial["state"], trial["attempts"]) for trial in requeued] == [("finished", 2)]

    both = {"TRACKSTACK_SINKS": "sqlite,mlflow"}
    said = cluster.run(project, f"{command} --pack 2", **both).stdout
    assert "3 trials in 2 tasks" in said
    assert at_work_or_queued(said, "2 finished, 1 failed (1 not finite), ", ", 3 resumed") == 3
    said = cluster.run(project, f"{command} --retry-failed", **both).stdout
    assert at_work_or_queued(said, "2 finished, ", ", 1 resumed") == 4
    until_nothing_is_queued(cluster)
    assert cluster.run(project, command).stdout.splitlines()[-1] == "5 finished, 1 failed (1 not finite)"
    logs = {file.name: file.read_text() for file in (project / "logs").glob("*.out")}
    assert not any("edited after submission" in log for log in logs.values())
    ran = re.findall(r"^(s\w+-\w+): (finished|failed)", "".join(logs.values()), re.MULTILINE)
    assert sorted(how for _, how in ran) == ["failed"] * 2 + ["finished"] * 5, "nothing that was finished ran again"
    finished = {name for name, how in ran if how == "finished"}
    assert experiments(project) == sorted(finished)
    assert sum("Running stage 'tensor_cache'" in log for log in logs.values()) <= 1
    run_in(project, "trackstack sync")  # on a busy machine a job may end before all is delivered
    with sqlite3.connect(project / "project.db") as database:
        found = [status for (status,) in database.execute("SELECT status FROM runs")]
    assert (found.count("finished"), found.count("failed")) == (5, 2), "the failed one was tried twice"
    with sqlite3.connect(project / "mlflow.db") as database:
        found = [status for (status,) in database.execute("SELECT status FROM runs")]
    asked = asked_for_mlflow(project)
    assert (found.count("FINISHED"), found.count("FAILED")) == (len(asked) - 1, 1), "those of the second submission"
    assert len(asked) >= 6 - trained, "all but what had trained by then, and need not again"
    listed = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert {run["name"] for run in listed if run["status"] == "finished"} == finished, "named as the experiments"
    shown = run_in(project, "dvc exp show --csv").stdout
    assert all(name in shown for name in finished)


def test_three_trials_of_somebody_elses_pipeline_one_of_them_killed_and_resumed(cluster, linear):
    """Parameters in JSON; then what the trials share fails, and is named."""
    code = {"PYTHONPATH": str(ROOT / "src")}  # in the place of an installation
    change(linear, train={"epochs": 40, "pause": 0.1})
    run_in(linear, "git commit -qam 'Trials of four seconds'")
    command = "trackstack sweep -S params.json:train.lr=0.1,0.2,0.3"
    cluster.run(linear, command, **code)
    cluster.until(lambda: len(list(linear.glob("runs/r*/checkpoints/epoch.json"))) == 3, "three trainings")
    killed = at_work(linear)[0]
    cluster.run(linear, ["scancel", "--signal=KILL", "--full", killed])
    until_nothing_is_queued(cluster)
    said = cluster.run(linear, command, **code).stdout
    assert at_work_or_queued(said, "2 finished, ", ", 1 resumed") == 1
    until_nothing_is_queued(cluster)
    assert len(experiments(linear)) == 3
    epochs = [int(epoch) for log in linear.glob("logs/*.out") for epoch in GOING_ON.findall(log.read_text())]
    assert len(epochs) == 4
    assert sum(epoch > 0 for epoch in epochs) == 1, "the one that was killed"

    (linear / "prepare.py").write_text('raise SystemExit("no data today")\n')
    run_in(linear, "git commit -qam 'Broken'")
    cluster.run(linear, command, **code)
    until_nothing_is_queued(cluster)
    shown = cluster.run(linear, "trackstack sweep status --watch", **code).stdout.splitlines()
    shared = next(line.rstrip() for line in shown if line.startswith("shared"))
    assert re.search(r"prepare.* failed .* no data today$", shared)
    assert shown[-1] == "3 waiting"


def test_the_summary_counts_and_says_why():
    states = {str(number): TrialStatus("finished") for number in range(3)}
    states |= {
        "nan": TrialStatus("failed", "the val_loss is nan"),
        "memory": TrialStatus("failed", "CUDA out of memory"),
    }
    assert summary(states | {"x": TrialStatus("interrupted")}, resumed=5) == (
        "3 finished, 2 failed (1 not finite, 1 out of memory), 1 interrupted, 5 resumed"
    )
