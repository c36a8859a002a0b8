"""trackstack sweep: which trials, what they share, and what is left of them on a real cluster."""

import json
import re
import shlex
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import yaml
from conftest import command_environment, edit_yaml, run_in

from trackstack import UserError
from trackstack.sweep import Note, summary
from trackstack.sweep.start import refuse_dirty_tree
from trackstack.sweep.trials import expand, split_pipeline


def at_work(project):
    """The jobs of the trials that say that they run; cheaper to ask often than `trackstack sweep status`."""
    notes = {file.stem: json.loads(file.read_text()) for file in project.glob("runs/.sweeps/*/trials/[!.]*.json")}
    return [note["job"] for name, note in notes.items() if note["state"] == "running" and name != "shared"]


def experiments(project):
    refs = run_in(project, "git for-each-ref --format='%(refname)' refs/exps").stdout.split()
    return sorted(ref.rsplit("/", 1)[1] for ref in refs if ref.count("/") == 4)


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


def test_sixteen_trials_on_two_nodes_survive_failures_cancellation_and_edits(cluster, cheap_project):
    """First use of every database; one trial fails, three are cancelled, one is requeued, the sources change."""
    project = cheap_project
    edit_yaml(project / "params.yaml", {"train": {"epochs": 20}})
    rows = ["train.lr,train.seed", *(f"0.00{1 + number % 3},{number}" for number in range(15)), "100,0"]
    (project / "trials.csv").write_text("\n".join([*rows, rows[-1]]) + "\n")  # the last one twice
    run_in(project, "git add trials.csv && git commit -qam 'Trials of two seconds'")
    command = "trackstack sweep --file trials.csv"
    environment = {"TRACKSTACK_SINKS": "sqlite,mlflow"}
    said = cluster.run(project, f"{command} --max-parallel 4", **environment).stdout
    array = re.search(r"16 trials in 16 tasks: job (\d+)", said)[1]
    # What is edited from now on must reach no trial.
    (project / "stages/train.py").write_text('raise SystemExit("edited after submission")\n')
    (project / "src/trackstack/sweep/task.py").write_text('raise SystemExit("edited after submission")\n')
    cluster.until(lambda: len(set(at_work(project))) == 4, 120, "four trials at work")
    working = at_work(project)
    cluster.run(project, ["scancel", *working[:3]])
    cluster.run(project, ["scontrol", "requeue", working[3]])
    cluster.until(lambda: not cluster.run(project, "squeue -h").stdout, 400, "the sweep's end")
    assert most_at_once(cluster, array) == 4
    run_in(project, "git checkout -q stages src")
    assert run_in(project, "git status --porcelain").stdout == "", "the checkout is untouched"
    told = json.loads(cluster.run(project, "trackstack sweep status --json").stdout)
    requeued = [note for note in told.values() if isinstance(note, dict) and note["job"] == working[3]]
    assert [(note["state"], note["attempts"]) for note in requeued] == [("finished", 2)]

    said = cluster.run(project, f"{command} --pack 2", **environment).stdout
    assert "3 trials in 2 tasks" in said
    assert at_work_or_queued(said, "12 finished, 1 failed (1 not finite), ", ", 3 resumed") == 3
    said = cluster.run(project, f"{command} --retry-failed", **environment).stdout
    assert at_work_or_queued(said, "12 finished, ", ", 1 resumed") == 4
    cluster.until(lambda: not cluster.run(project, "squeue -h").stdout, 200, "the second sweep's end")
    assert cluster.run(project, command).stdout.splitlines()[-1] == "15 finished, 1 failed (1 not finite)"
    logs = {file.name: file.read_text() for file in (project / "logs").glob("*.out")}
    assert not any("edited after submission" in log for log in logs.values())
    ran = re.findall(r"^(s\w+-\w+): (finished|failed)", "".join(logs.values()), re.MULTILINE)
    assert sorted(how for _, how in ran) == ["failed"] * 2 + ["finished"] * 15, "nothing that was finished ran again"
    finished = {name for name, how in ran if how == "finished"}
    assert experiments(project) == sorted(finished)
    assert sum("Running stage 'tensor_cache'" in log for log in logs.values()) <= 1
    for name, failed, ended in (("project.db", "failed", "finished"), ("mlflow.db", "FAILED", "FINISHED")):
        with sqlite3.connect(project / name) as database:
            found = [status for (status,) in database.execute("SELECT status FROM runs")]
        assert (found.count(ended), found.count(failed)) == (15, 2), "the failed one was tried twice"
    listed = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert {run["name"] for run in listed if run["status"] == "finished"} == finished, "named as the experiments"
    shown = run_in(project, "dvc exp show --csv").stdout
    assert all(name in shown for name in finished)


def test_what_the_trials_share_may_fail_and_is_named(cluster, cheap_project):
    (cheap_project / "stages/tensor_cache.py").write_text('raise SystemExit("no windows today")\n')
    run_in(cheap_project, "git commit -qam 'Broken'")
    cluster.run(cheap_project, "trackstack sweep -S train.seed=1,2")
    cluster.until(lambda: not cluster.run(cheap_project, "squeue -h").stdout, 90, "the sweep's end")
    shown = cluster.run(cheap_project, "trackstack sweep status --watch").stdout.splitlines()
    shared = next(line.rstrip() for line in shown if line.startswith("shared"))
    assert re.search(r"tensor_cache.* failed .* no windows today$", shared)
    assert shown[-1] == "2 waiting"


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
    ("names", "shared"),
    [
        (["train.lr"], ["tensor_cache"]),
        (["models.cnn.widths"], ["tensor_cache"]),
        (["tensor_cache.window"], ["parquet"]),
        (["evaluate.calibration_bins"], ["train"]),
        (["dataset"], []),
    ],
)
def test_what_the_trials_share_is_what_no_parameter_changes(project, names, shared):
    ends, own = split_pipeline(names, project)
    assert [end for end in ends if end != "check"] == shared
    assert any("gpu" in options for options in own.values()) == (names != ["evaluate.calibration_bins"])


def test_a_trial_that_equals_the_commit_is_run_where_nobody_has_its_outputs(project):
    lock = yaml.safe_load((project / "dvc.lock").read_text())
    for out in lock["stages"]["train"]["outs"] + lock["stages"]["evaluate"]["outs"]:
        (project / f".dvc/cache/files/md5/{out['md5'][:2]}/{out['md5'][2:]}").unlink()
        shutil.rmtree(project / out["path"])
    shutil.rmtree(project / ".dvc/cache/runs", ignore_errors=True)
    seed = yaml.safe_load((project / "params.yaml").read_text())["train"]["seed"]
    assert "1 finished" in run_in(project, f"trackstack sweep -S train.seed={seed} --local").stdout
    (run,) = json.loads(run_in(project, "trackstack runs list --json").stdout)
    assert run["status"] == "finished"
    assert "test_accuracy" in run["metrics"]


def test_what_no_stage_follows_is_one_line(project):
    with pytest.raises(UserError, match=r"no stage of dvc.yaml follows models.mlp: every trial would be the same"):
        split_pipeline(["models.mlp"], project)


def test_a_dirty_tree_is_refused_unless_only_results_differ(project):
    with (project / "dvc.lock").open("a") as file:
        file.write("# touched\n")
    (project / "notes.txt").write_text("a note\n")
    refuse_dirty_tree(project)
    (project / "src/trackstack/new.py").write_text("")
    with pytest.raises(UserError, match=r"src/trackstack/new.py: not in git, .*; git add it"):
        refuse_dirty_tree(project)
    (project / "src/trackstack/new.py").unlink()
    (project / "README.md").write_text("edited\n")
    with pytest.raises(UserError, match=r"README.md: not committed, .*; git commit -a"):
        refuse_dirty_tree(project)


def test_the_summary_counts_and_says_why():
    states = {str(number): Note("finished") for number in range(3)}
    states |= {"nan": Note("failed", "the val_loss is nan"), "memory": Note("failed", "CUDA out of memory")}
    assert summary(states | {"x": Note("interrupted")}, resumed=5) == (
        "3 finished, 2 failed (1 not finite, 1 out of memory), 1 interrupted, 5 resumed"
    )


def test_a_dry_run_prints_the_exact_submissions_splits_beyond_the_sites_limit_and_leaves_nothing(
    cluster, project, path_without_slurm
):
    arguments = ["-S", "train.seed=range(18)", "--max-parallel", "8", "-n", "my; sweep", "--dry-run"]
    said = cluster.run(project, ["trackstack", "sweep", *arguments]).stdout.splitlines()
    name = said[0].split()[1].rstrip(":")
    folder = project / "runs/.sweeps" / name
    start = f"sbatch --parsable --job-name={name}"
    end = f"slurm/sweep.sh '{folder}' {shlex.quote(str(Path(sys.executable).parent))}"
    resources = "--cpus-per-task=4 --time=01:00:00"
    kill = "--kill-on-invalid-dep=yes"
    assert said[1:] == [
        f"shared=$({start} --output=logs/%x_%j.out {end} shared)",
        f'array1=$(sbatch --parsable --dependency="afterok:$shared" {kill} --job-name={name} '
        f"--array=0-16%8 {resources} {end} trials)",
        f'array2=$(sbatch --parsable --dependency="afterok:$shared,afterany:$array1" {kill} --job-name={name} '
        f"--array=0-0%8 {resources} {end} trials)",
    ]
    without = command_environment() | {"PATH": path_without_slurm}
    said = run_in(project, "trackstack sweep -S train.seed=1,2 --dry-run", env=without).stdout
    assert "--array=0-1 " in said
    said = run_in(project, "trackstack sweep -S train.seed=1,2 --local --dry-run", env=without).stdout
    assert re.fullmatch(r"sweep .*\n\S+: train.seed=1\n\S+: train.seed=2\n", said)
    assert not (project / "runs").exists()


def test_what_does_not_apply_and_what_slurm_refuses_is_one_line(cluster, project):
    for wrong, said in (("--local --pack 2", "--local: runs -j trials at a time"), ("-j 2", "-j: is for --local")):
        assert run_in(project, f"trackstack sweep -S train.seed=1,2 {wrong}", 1).stderr.startswith(said)
    errors = cluster.run(project, "trackstack sweep -S train.seed=1,2", 1, SBATCH_PARTITION="nope").stderr
    reason = "invalid partition specified: nope; Batch job submission failed: Invalid partition name specified"
    assert errors == f"sbatch refused: {reason}; sinfo lists those there are\n"


def test_on_this_machine_a_sweep_is_stopped_and_resumed(cheap_project):
    """Ctrl-C ends what runs, be it what the trials share; typed again, the command goes on, and runs nothing twice."""
    edit_yaml(cheap_project / "params.yaml", {"train": {"epochs": 30}})
    slow = "import time\nprint('slow', flush=True)\ntime.sleep(3)\n"
    cache = cheap_project / "stages/tensor_cache.py"
    cache.write_text(slow + cache.read_text())
    run_in(cheap_project, "git commit -qam 'Slower'")
    command = ["trackstack", "sweep", "-S", "train.seed=1,2", "--local"]

    def stopped(moment):
        process = subprocess.Popen(
            command, cwd=cheap_project, env=command_environment(), stdout=subprocess.PIPE, text=True
        )
        deadline = time.monotonic() + 120
        while not moment():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        said = process.communicate(timeout=120)[0].splitlines()
        assert process.returncode == 1
        mine = [one for one in psutil.process_iter(["cwd"]) if str(cheap_project) in (one.info["cwd"] or "")]
        assert mine == [], "no orphan"
        return said[-1]

    def shared_runs():
        return any("slow" in log.read_text() for log in cheap_project.glob("runs/.sweeps/*/logs/shared.log"))

    assert stopped(shared_runs) == "2 waiting"
    assert stopped(lambda: at_work(cheap_project)) == "1 interrupted, 1 waiting"
    said = run_in(cheap_project, command).stdout
    assert said.splitlines()[-1] == "2 finished, 1 resumed"
    assert len(experiments(cheap_project)) == 2
    assert run_in(cheap_project, command).stdout.splitlines()[-1] == "2 finished"
