"""trackstack sweep: which trials, what they share, and what is left of them on a real cluster."""

import json
import re
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from conftest import command_environment, run_in

from trackstack import UserError
from trackstack.sweep import Note, refuse_dirty_tree, summary
from trackstack.sweep.trials import changed_stages, expand


def dry_run(cluster, project, *arguments):
    said = cluster.run(project, ["trackstack", "sweep", *arguments, "--dry-run"]).stdout
    return said.splitlines()


def at_work(project):
    """The jobs of the trials that say that they run; cheaper to ask often than `trackstack sweep status`."""
    notes = [json.loads(file.read_text()) for file in project.glob("runs/.sweeps/*/trials/[!.]*.json")]
    return [note["job"] for note in notes if note["state"] == "running"]


def experiments(project):
    refs = run_in(project, "git for-each-ref --format='%(refname)' refs/exps").stdout.split()
    return sorted(ref.rsplit("/", 1)[1] for ref in refs if ref.count("/") == 4)


def test_sixteen_trials_on_two_nodes_survive_failures_cancellation_and_edits(cluster, project):
    """First use of every database; one trial fails, three are cancelled, and the sources change meanwhile."""
    rows = ["train.lr,train.seed", *(f"0.00{1 + number % 3},{number}" for number in range(15)), "100000,0"]
    (project / "trials.csv").write_text("\n".join([*rows, rows[-1]]) + "\n")  # the last one twice
    command = "trackstack sweep --file trials.csv --max-parallel 4"
    tracked = run_in(project, "git status --porcelain").stdout
    said = cluster.run(project, command, TRACKSTACK_SINKS="sqlite,mlflow").stdout
    array = re.search(r"16 trials in 16 tasks: job (\d+)", said)[1]
    # What is edited from now on must reach no trial.
    (project / "stages/train.py").write_text('raise SystemExit("edited after submission")\n')
    (project / "src/trackstack/sweep/task.py").write_text('raise SystemExit("edited after submission")\n')
    cluster.until(lambda: len(at_work(project)) >= 3, 300, "three trials at work")
    told = json.loads(cluster.run(project, "trackstack sweep status --json").stdout)
    working = [note["job"] for name, note in told.items() if name != "sweep" and note["state"] == "running"]
    most = cluster.run(project, "squeue -h -r -t RUNNING | wc -l").stdout
    assert int(most) <= 4
    cluster.run(project, ["scancel", *working[:3]])
    cluster.until(lambda: not cluster.run(project, "squeue -h").stdout, 900, "the sweep's end")
    run_in(project, "git checkout -q stages src")
    assert run_in(project, "git status --porcelain").stdout == tracked, "the checkout is untouched"
    before = cluster.run(project, "trackstack sweep status").stdout.splitlines()[-1]
    assert before == "12 finished, 1 failed (1 not finite), 3 interrupted", array
    logs = "".join(file.read_text() for file in (project / "logs").glob("*.out"))
    assert "edited after submission" not in logs

    said = cluster.run(project, command, TRACKSTACK_SINKS="sqlite,mlflow").stdout
    assert "3 trials in 3 tasks" in said
    assert said.splitlines()[-1] == "12 finished, 1 failed (1 not finite), 3 queued, 3 resumed"
    cluster.until(lambda: not cluster.run(project, "squeue -h").stdout, 400, "the second sweep's end")
    assert cluster.run(project, command).stdout.splitlines()[-1] == "15 finished, 1 failed (1 not finite)"
    logs = {file.name: file.read_text() for file in (project / "logs").glob("*.out")}
    ran = re.findall(r"^trial (\S+): finished", "".join(logs.values()), re.MULTILINE)
    assert len(ran) == len(set(ran)) == 15, "nothing ran twice"
    assert experiments(project) == sorted(ran)
    assert sum("Running stage 'tensor_cache'" in log for log in logs.values()) <= 1
    with sqlite3.connect(project / "project.db") as database:
        statuses = [status for (status,) in database.execute("SELECT status FROM runs ORDER BY status")]
    assert statuses == ["failed", *["finished"] * 15]
    with sqlite3.connect(project / "mlflow.db") as database:
        statuses = [status for (status,) in database.execute("SELECT status FROM runs ORDER BY status")]
    assert statuses == ["FAILED", *["FINISHED"] * 15]
    shown = run_in(project, "dvc exp show --csv").stdout
    assert all(name in shown for name in ran)


@pytest.fixture
def in_project(project, monkeypatch):
    monkeypatch.chdir(project)
    return project


def overrides(*settings, table=None):
    return [trial.overrides for trial in expand(list(settings), table, None)]


def test_settings_expand_like_dvcs_and_identical_trials_are_one(in_project):
    assert overrides("train.lr=0.1,0.2", "train.seed=range(2)") == [
        ["train.lr=0.1", "train.seed=0"],
        ["train.lr=0.1", "train.seed=1"],
        ["train.lr=0.2", "train.seed=0"],
        ["train.lr=0.2", "train.seed=1"],
    ]
    assert overrides("train.lr=0.1,1e-1,0.10") == [["train.lr=0.1"]]
    assert overrides("models.cnn.widths=[8,8],[16,16]") == [
        ["models.cnn.widths=[8,8]"],
        ["models.cnn.widths=[16,16]"],
    ]


def test_a_table_gives_a_trial_per_row_times_the_settings(in_project, tmp_path):
    table = tmp_path / "trials.csv"
    table.write_text('train.lr,models.cnn.widths\n0.1,"[8,8]"\n\n0.2,"[4,4]"\n')
    assert overrides("train.seed=1,2", table=table) == [
        ["train.lr=0.1", "models.cnn.widths=[8,8]", "train.seed=1"],
        ["train.lr=0.1", "models.cnn.widths=[8,8]", "train.seed=2"],
        ["train.lr=0.2", "models.cnn.widths=[4,4]", "train.seed=1"],
        ["train.lr=0.2", "models.cnn.widths=[4,4]", "train.seed=2"],
    ]


def test_names_are_safe_and_stay_the_same(in_project):
    first, second = (expand(["train.seed=1,2"], None, 'it\'s; a "test" $(x)') for _ in range(2))
    assert first == second
    assert all(re.fullmatch(r"it-s-a-test-x-[0-9a-f]{6}", trial.name) for trial in first)


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ([], "nothing to sweep over; give -S section.parameter=value,value or --file trials.csv"),
        (["train.lr"], "-S train.lr: Error parsing override 'train.lr'; expected name=value,value"),
        (["train.lrr=1,2"], "-S train.lrr: params.yaml has no such parameter"),
        (["train.lr=-1,0.1"], "-S train.lr=-1: params.yaml: train.lr is -1; expected greater than 0"),
        (["train.seed=range(0)"], "nothing to sweep over"),
        (["other.yaml:a=1"], "-S other.yaml:a=1: expected the name of a parameter in params.yaml"),
        (["train.model='a; touch x'"], "-S train.model='a; touch x': "),
    ],
)
def test_settings_that_make_no_sense_are_one_line(in_project, settings, said):
    with pytest.raises(UserError) as caught:
        expand(settings, None, None)
    assert str(caught.value).startswith(said), str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_table_that_makes_no_sense_is_one_line(in_project, tmp_path):
    table = tmp_path / "trials.csv"
    for text, said in (
        ("train.lr\n", "no trials; expected a header of parameter names"),
        ("train.lr,train.seed\n1\n", "line 2: expected 2 values"),
    ):
        table.write_text(text)
        with pytest.raises(UserError, match=said):
            expand([], table, None)


@pytest.mark.parametrize(
    ("names", "shared", "reads"),
    [
        (["train.lr"], ["tensor_cache"], ["data/cache"]),
        (["models.cnn.widths"], ["tensor_cache"], ["data/cache"]),
        (["tensor_cache.window"], ["parquet"], ["data/processed"]),
        (["evaluate.calibration_bins"], ["train"], ["data/cache", "results/model"]),
        (["dataset"], [], ["data/raw/tiny"]),
    ],
)
def test_what_the_trials_share_is_what_no_parameter_changes(project, names, shared, reads):
    changed, ends, read = changed_stages(names, project)
    assert [end for end in ends if end != "check"] == shared
    assert "evaluate" in changed
    assert read == reads


def test_a_dirty_tree_is_refused_unless_only_results_differ(project):
    with (project / "dvc.lock").open("a") as file:
        file.write("# touched\n")
    (project / "notes.txt").write_text("a note\n")
    refuse_dirty_tree(project)
    (project / "src/trackstack/new.py").write_text("")
    with pytest.raises(
        UserError, match=r"src/trackstack/new.py: not committed, and the trials run the commit; git commit"
    ):
        refuse_dirty_tree(project)
    (project / "src/trackstack/new.py").unlink()
    (project / "README.md").write_text("edited\n")
    with pytest.raises(UserError, match=r"README.md: not committed"):
        refuse_dirty_tree(project)


def test_the_summary_counts_and_says_why():
    states = {str(number): Note("finished") for number in range(3)}
    states |= {"nan": Note("failed", "the val_loss is nan"), "memory": Note("failed", "CUDA out of memory")}
    assert summary(states | {"x": Note("interrupted")}, resumed=5) == (
        "3 finished, 2 failed (1 not finite, 1 out of memory), 1 interrupted, 5 resumed"
    )


def test_a_dry_run_prints_the_exact_submissions_and_splits_beyond_the_sites_limit(cluster, project):
    said = dry_run(cluster, project, "-S", "train.seed=range(1003)", "--max-parallel", "8", "-n", "my; sweep")
    folder = next((project / "runs/.sweeps").iterdir())
    start = f"sbatch --parsable --job-name={folder.name}"
    end = f"slurm/sweep.sh '{folder}' {Path(sys.executable).parent}"
    resources = "--cpus-per-task=4 --time=01:00:00"
    kill = "--kill-on-invalid-dep=yes"
    assert said[1:] == [
        f"shared=$({start} --output=logs/%x_%j.out {end} shared)",
        f'array1=$(sbatch --parsable --dependency="afterok:$shared" {kill} --job-name={folder.name} '
        f"--array=0-1000%8 {resources} {end} trials)",
        f'array2=$(sbatch --parsable --dependency="afterok:$shared,afterany:$array1" {kill} --job-name={folder.name} '
        f"--array=0-1%8 {resources} {end} trials)",
    ]


def test_sweep_without_slurm_or_with_an_unknown_partition_is_one_line(cluster, project):
    errors = cluster.run(project, "trackstack sweep -S train.seed=1,2", 1, SBATCH_PARTITION="nope").stderr
    assert (
        errors
        == "sbatch refused: invalid partition specified: nope; Batch job submission failed: Invalid partition name specified; sinfo lists those there are\n"
    )


def test_on_this_machine_a_sweep_is_stopped_and_resumed(project):
    """Ctrl-C ends the trial that runs; typed again, the command goes on, and runs nothing twice."""
    command = ["trackstack", "sweep", "-S", "train.seed=1,2", "--local"]
    process = subprocess.Popen(command, cwd=project, env=command_environment(), stdout=subprocess.PIPE, text=True)
    for line in process.stdout:
        if "tensor_cache" in line:
            break
    deadline = time.monotonic() + 120
    while not at_work(project):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    rest = process.stdout.read()
    assert process.wait(120) == 1
    assert rest.splitlines()[-1] == "1 interrupted, 1 waiting"
    said = run_in(project, command).stdout
    assert said.splitlines()[-1] == "2 finished, 1 resumed"
    assert len(experiments(project)) == 2
    assert run_in(project, command).stdout.splitlines()[-1] == "2 finished"
