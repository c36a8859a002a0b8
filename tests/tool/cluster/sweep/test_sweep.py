"""A sweep of this repository's own kind of project on a real cluster, and how it is summed up."""

import json
import re
import sqlite3

from support.projects import ROOT, edit_yaml, run_in
from support.sweeps import at_work, experiments

from trackstack.cluster.sweep import TrialStatus, summary

GOING_ON = re.compile(r"r\w+: going on from epoch (\d+)")


def most_at_once(cluster, array):
    """How many tasks of an array ran side by side, by the times that Slurm has kept."""
    shown = cluster.run(cluster.folder, ["scontrol", "show", "job", "--oneliner", array]).stdout
    spans = re.findall(r"StartTime=(\S+) EndTime=(\S+)", shown)
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def at_work_or_queued(said, before, after):
    """How many trials the last line counts as running or queued, between these: some may have begun when it is written."""
    counts = said.splitlines()[-1].removeprefix(before).removesuffix(after)
    assert f"{before}{counts}{after}" == said.splitlines()[-1]
    assert re.fullmatch(r"(\d running(, )?)?(\d queued)?", counts)
    return sum(map(int, re.findall(r"\d", counts)))


def test_eight_trials_on_two_nodes_survive_failures_cancellation_and_edits(cluster, cheap_project):
    """First use of every database; one trial fails, three are cancelled, one is requeued, the sources change."""
    project = cheap_project
    edit_yaml(project / "params.yaml", {"train": {"epochs": 20}})
    rows = ["train.lr,train.seed", *(f"0.00{1 + number % 3},{number}" for number in range(7)), "100,0"]
    (project / "trials.csv").write_text("\n".join([*rows, rows[-1]]) + "\n")  # the last one twice
    run_in(project, "git add trials.csv && git commit -qam 'Trials of two seconds'")
    command = "trackstack sweep --file trials.csv"
    environment = {"TRACKSTACK_SINKS": "sqlite,mlflow"}
    said = cluster.run(project, f"{command} --max-parallel 4", **environment).stdout
    array = re.search(r"8 trials in 8 tasks: job (\d+)", said)[1]
    # What is edited from now on must reach no trial.
    (project / "stages/train.py").write_text('raise SystemExit("edited after submission")\n')
    (project / "src/trackstack/cluster/sweep/task.py").write_text('raise SystemExit("edited after submission")\n')
    cluster.until(lambda: len(at_work(project)) == 4, 120, "four trials at work")
    working = at_work(project)
    cluster.run(project, ["scancel", *working[:3]])
    cluster.run(project, ["scontrol", "requeue", working[3]])
    cluster.until(lambda: not cluster.run(project, "squeue -h").stdout, 400, "the sweep's end")
    assert most_at_once(cluster, array) == 4
    run_in(project, "git checkout -q stages src")
    assert run_in(project, "git status --porcelain").stdout == "", "the checkout is untouched"
    statuses = json.loads(cluster.run(project, "trackstack sweep status --json").stdout)
    del statuses["sweep"]
    requeued = [trial for trial in statuses.values() if trial["job"] == working[3]]
    assert [(trial["state"], trial["attempts"]) for trial in requeued] == [("finished", 2)]

    said = cluster.run(project, f"{command} --pack 2", **environment).stdout
    assert "3 trials in 2 tasks" in said
    assert at_work_or_queued(said, "4 finished, 1 failed (1 not finite), ", ", 3 resumed") == 3
    said = cluster.run(project, f"{command} --retry-failed", **environment).stdout
    assert at_work_or_queued(said, "4 finished, ", ", 1 resumed") == 4
    cluster.until(lambda: not cluster.run(project, "squeue -h").stdout, 200, "the second sweep's end")
    assert cluster.run(project, command).stdout.splitlines()[-1] == "7 finished, 1 failed (1 not finite)"
    logs = {file.name: file.read_text() for file in (project / "logs").glob("*.out")}
    assert not any("edited after submission" in log for log in logs.values())
    ran = re.findall(r"^(s\w+-\w+): (finished|failed)", "".join(logs.values()), re.MULTILINE)
    assert sorted(how for _, how in ran) == ["failed"] * 2 + ["finished"] * 7, "nothing that was finished ran again"
    finished = {name for name, how in ran if how == "finished"}
    assert experiments(project) == sorted(finished)
    assert sum("Running stage 'tensor_cache'" in log for log in logs.values()) <= 1
    for name, failed, ended in (("project.db", "failed", "finished"), ("mlflow.db", "FAILED", "FINISHED")):
        with sqlite3.connect(project / name) as database:
            statuses = [status for (status,) in database.execute("SELECT status FROM runs")]
        assert (statuses.count(ended), statuses.count(failed)) == (7, 2), "the failed one was tried twice"
    listed = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert {run["name"] for run in listed if run["status"] == "finished"} == finished, "named as the experiments"
    shown = run_in(project, "dvc exp show --csv").stdout
    assert all(name in shown for name in finished)


def test_four_trials_of_somebody_elses_pipeline_one_of_them_killed_and_resumed(cluster, linear):
    """DVC and scikit-learn with parameters in JSON; then what the trials share fails, and is named."""
    environment = {"PYTHONPATH": str(ROOT / "src")}  # in the place of an installation
    params = json.loads((linear / "params.json").read_text())
    params["train"] |= {"epochs": 40, "pause": 0.1}
    (linear / "params.json").write_text(json.dumps(params))
    run_in(linear, "git commit -qam 'Trials of four seconds'")
    command = "trackstack sweep -S params.json:train.lr=0.1,0.2 -S params.json:train.seed=1,2"
    cluster.run(linear, command, **environment)
    cluster.until(lambda: len(list(linear.glob("runs/r*/checkpoints/epoch.json"))) == 4, 120, "four trainings")
    killed = at_work(linear)[0]
    cluster.run(linear, ["scancel", "--signal=KILL", "--full", killed])
    cluster.until(lambda: not cluster.run(linear, "squeue -h").stdout, 120, "the sweep's end")
    said = cluster.run(linear, command, **environment).stdout
    assert at_work_or_queued(said, "3 finished, ", ", 1 resumed") == 1
    cluster.until(lambda: not cluster.run(linear, "squeue -h").stdout, 120, "the killed trial's end")
    assert len(experiments(linear)) == 4
    epochs = [int(epoch) for log in linear.glob("logs/*.out") for epoch in GOING_ON.findall(log.read_text())]
    assert len(epochs) == 5
    assert sum(epoch > 0 for epoch in epochs) == 1, "the one that was killed"

    (linear / "prepare.py").write_text('raise SystemExit("no data today")\n')
    run_in(linear, "git commit -qam 'Broken'")
    cluster.run(linear, command, **environment)
    cluster.until(lambda: not cluster.run(linear, "squeue -h").stdout, 90, "the second sweep's end")
    shown = cluster.run(linear, "trackstack sweep status --watch", **environment).stdout.splitlines()
    shared = next(line.rstrip() for line in shown if line.startswith("shared"))
    assert re.search(r"prepare.* failed .* no data today$", shared)
    assert shown[-1] == "4 waiting"


def test_the_summary_counts_and_says_why():
    states = {str(number): TrialStatus("finished") for number in range(3)}
    states |= {
        "nan": TrialStatus("failed", "the val_loss is nan"),
        "memory": TrialStatus("failed", "CUDA out of memory"),
    }
    assert summary(states | {"x": TrialStatus("interrupted")}, resumed=5) == (
        "3 finished, 2 failed (1 not finite, 1 out of memory), 1 interrupted, 5 resumed"
    )
