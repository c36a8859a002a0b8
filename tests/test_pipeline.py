"""The pipeline as people use it: a fresh clone, repro, experiments, data versions. Real DVC throughout."""

import csv
import getpass
import hashlib
import io
import json
import platform
import re
import shutil
import socket
import sys
from pathlib import Path

import pytest
import yaml
from conftest import ROOT, copy_checkout, edit_yaml, run_in
from tracking_runs import in_journals, in_mlflow, in_sqlite, statuses, wait_until_nobody_delivers


def stages_run(output):
    """The stages that DVC executed, in order."""
    return re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)


@pytest.fixture(scope="module")
def fresh_start(tmp_path_factory):
    """`make repro` in a new clone, in a path with spaces; only the environment is the tests' own."""
    origin = copy_checkout(tmp_path_factory.mktemp("origin") / "a checkout")
    clone = tmp_path_factory.mktemp("fresh") / "a fresh clone"
    run_in(origin.parent, ["git", "clone", "-q", str(origin), str(clone)])
    (clone / ".venv").symlink_to(Path(sys.executable).parent.parent)
    return clone, run_in(clone, "make --old-file=.venv/.installed repro").stdout


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the recorded bytes are those of x86-64")
def test_a_fresh_clone_reproduces_the_recorded_bytes(fresh_start, run):
    clone, output = fresh_start
    # ingest is skipped: its output is in git, and what it reads has not changed.
    assert stages_run(output) == ["parquet", "tensor_cache", "train", "evaluate"]
    assert run(clone, "dvc status").stdout.strip() == "Data and pipelines are up to date."
    assert run(clone, "git status --porcelain").stdout == ""


def test_a_fresh_clone_ends_with_the_metrics_and_what_to_try_next(fresh_start):
    _, output = fresh_start
    end = output[output.rindex("Running stage") :]
    assert "test_accuracy" in end
    assert len(re.findall(r"^  dvc exp ", end[end.index("Done. Three things to try next") :], re.MULTILINE)) == 3


def test_the_default_run_is_accurate_on_people_it_never_saw(fresh_start):
    clone, _ = fresh_start
    metrics = json.loads((clone / "results/evaluation/metrics.json").read_text())
    assert metrics["test_accuracy"] >= 0.88
    assert f"test_accuracy              {metrics['test_accuracy']:.4f}" in (ROOT / "README.md").read_text()
    assert metrics["test_windows"] == 800


def test_a_second_make_repro_runs_nothing(fresh_start, run):
    clone, _ = fresh_start
    assert stages_run(run(clone, "make --old-file=.venv/.installed repro").stdout) == []


def test_dvcs_own_views_say_something_useful_at_once(fresh_start, run):
    clone, _ = fresh_start
    metrics = json.loads(run(clone, "dvc metrics show --json").stdout)[""]["data"]
    assert metrics["results/evaluation/metrics.json"]["data"]["test_accuracy"] >= 0.88
    table = run(clone, "dvc exp show --csv").stdout
    assert {"test_accuracy", "val_accuracy", "train.lr", "dataset"} <= set(table.splitlines()[0].split(","))
    run(clone, "dvc plots show -o plots")
    page = (clone / "plots/index.html").read_text()
    for title in ("Loss", "Validation accuracy", "Confusion matrix", "F1 by class", "Calibration"):
        assert title in page
    run(clone, "dvc plots diff -o plots HEAD")


def outputs_of(clone):
    folders = ("data/ingested", "data/processed", "data/cache", "results")
    return [file for folder in folders for file in (clone / folder).rglob("*") if file.is_file()]


def test_no_output_holds_a_path_a_host_or_a_time(fresh_start):
    clone, _ = fresh_start
    for file in outputs_of(clone):
        content = file.read_bytes()
        assert str(clone).encode() not in content, file
        assert clone.name.encode() not in content, file
        if file.suffix not in (".parquet", ".safetensors"):  # random bytes can look like a time or a short name
            for name in (socket.gethostname(), getpass.getuser()):
                assert not re.search(rf"\b{re.escape(name)}\b".encode(), content), f"{file}: {name}"
            assert not re.search(rb"20[2-9]\d-[01]\d-[0-3]\d|\d\d:\d\d:\d\d", content), file


def test_no_output_is_a_pickle_or_an_archive_that_may_hold_one(fresh_start):
    clone, _ = fresh_start
    for file in outputs_of(clone):
        assert not file.read_bytes().startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")), file


def test_the_same_bytes_come_out_when_everything_is_forced_twice(project, run):
    lock = (project / "dvc.lock").read_text()
    for _ in range(2):
        assert len(stages_run(run(project, "dvc repro --force --no-run-cache").stdout)) == 6
        assert (project / "dvc.lock").read_text() == lock
    assert run(project, "git status --porcelain").stdout == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"train": {"lr": 0.01}}, ["train", "evaluate"]),
        ({"tensor_cache": {"window": 30}}, ["tensor_cache", "train", "evaluate"]),
        ({"evaluate": {"calibration_bins": 5}}, ["evaluate"]),
        ({"models": {"mlp": {"hidden": 5}}}, []),
        ({"losses": {"focal": {"gamma": 1}}, "metrics": {"top_k": {"k": 1}}}, []),
        ({"train": {"metric": "top_k"}}, ["check", "train", "evaluate"]),
    ],
)
def test_a_parameter_runs_what_depends_on_it_and_nothing_else(project, run, change, expected):
    edit_yaml(project / "params.yaml", change)
    assert stages_run(run(project, "dvc repro").stdout) == expected


def test_what_changes_no_result_runs_nothing(project, run):
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"sensor_v1": {"description": "other words"}}})
    (project / "README.md").write_text("other words\n")
    (project / "src/trackstack/tracking").mkdir(exist_ok=True)
    (project / "src/trackstack/tracking/new.py").write_text("# a tracker\n")
    for other in ("models/mlp", "losses/focal", "metrics/top_k"):
        (project / f"src/trackstack/{other}.py").write_text("# another one than the chosen\n")
    assert stages_run(run(project, "dvc repro").stdout) == []


def test_a_description_runs_the_cheap_stages_and_no_training(project, run):
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny": {"description": "other words"}}})
    assert stages_run(run(project, "dvc repro").stdout) == ["ingest", "parquet"]


def test_an_experiment_runs_with_changed_parameters(project, run):
    output = run(project, "dvc exp run -n slow -S train.lr=0.001").stdout
    assert stages_run(output) == ["train", "evaluate"]
    rows = json.loads(run(project, "dvc exp show --json").stdout)
    assert "slow" in json.dumps(rows)
    assert "train.lr" in run(project, "dvc exp diff").stdout


def add_second_dataset(project):
    """A dataset version `tiny2` that has one person less; run, committed."""
    shutil.copytree(project / "data/raw/tiny", project / "data/raw/tiny2")
    (project / "data/raw/tiny2/subject_4.csv").unlink()
    entry = yaml.safe_load((project / "data/catalog.yaml").read_text())["datasets"]["tiny"]
    changes = {"path": "data/raw/tiny2", "num_samples": 360}
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny2": entry | changes}})
    run_in(project, "dvc add -q data/raw/tiny2 && git add -A && git commit -qm 'Another version'")


def test_an_experiment_switches_the_dataset(project, run):
    add_second_dataset(project)
    output = run(project, "dvc exp run -S dataset=tiny2 -S tensor_cache.folds=3").stdout
    assert stages_run(output) == ["check", "ingest", "parquet", "tensor_cache", "train", "evaluate"]
    assert json.loads((project / "data/ingested/manifest.json").read_text())["num_samples"] == 360


def test_queued_experiments_run_two_at_a_time_on_their_own_code_and_arrive_in_the_checkouts_home(project, run):
    module = project / "src/trackstack/train.py"
    original = module.read_text()
    mark = 'print(f"run {run}:'
    module.write_text(original.replace(mark, 'print(f"queued code {run}:'))
    run(project, "dvc exp run --queue -S train.lr=0.001,0.002")
    module.write_text(
        original.replace(mark, 'raise SystemExit("code edited after queueing")\n    print(f"run {run}:')
    )
    run(project, "TRACKSTACK_SINKS=sqlite,mlflow dvc queue start -j 2")
    run(project, "while dvc queue status | grep -qE 'Queued|Running'; do sleep 0.5; done")
    status = run(project, "dvc queue status").stdout
    assert status.count("Success") == 2, status
    for task in re.findall(r"^([0-9a-f]{7}) ", status, re.MULTILINE):
        assert "queued code r" in run(project, f"dvc queue logs {task}").stdout
    rows = csv.DictReader(io.StringIO(run(project, "dvc exp show --csv --hide-workspace").stdout))
    assert {row["train.lr"] for row in rows if row["rev"]} >= {"0.001", "0.002"}
    wait_until_nobody_delivers(project)
    assert [status for status, _ in statuses(project)] == ["finished"] * 2
    for recorded in json.loads(run(project, "trackstack runs list --json").stdout):
        assert "test_accuracy" in recorded["metrics"]
        assert f"refs/trackstack/{recorded['run']}" in run(project, "git for-each-ref refs/trackstack").stdout
    assert sorted(in_mlflow(project)) == sorted(in_sqlite(project)) == sorted(in_journals(project))


def test_data_versions_can_be_made_pushed_and_gone_back_to(project, run, tmp_path):
    """The README's commands for a new version of a dataset."""
    file = project / "data/raw/tiny/subject_1.csv"
    before = file.read_text()
    remote = tmp_path / "a remote"
    run(project, ["dvc", "remote", "add", "-d", "store", str(remote)])
    run(project, "git commit -qam 'A remote' && git tag v1.0 && dvc push")

    run(project, "dvc unprotect data/raw/tiny")
    file.write_text(before.replace("up", "down", 1))
    run(project, "dvc add data/raw/tiny && git commit -qam 'Correct a label' && git tag v1.1 && dvc push")
    assert stages_run(run(project, "dvc repro").stdout)[:2] == ["ingest", "parquet"]

    run(project, "git checkout v1.0 -- data/raw/tiny.dvc && dvc checkout data/raw/tiny.dvc")
    assert file.read_text() == before
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "data/raw/tiny")
    run(project, "git checkout v1.1 -- data/raw/tiny.dvc && dvc pull data/raw/tiny.dvc")
    assert file.read_text() != before


def test_pushing_own_data_before_choosing_a_remote_fails_visibly(project, run):
    assert "no remote" in run(project, "dvc push data/raw/tiny.dvc", expect=None).stderr.lower()


def test_the_sample_in_the_embedded_remote_is_whole():
    """Every object has the hash that its name says."""
    objects = [file for file in (ROOT / "data/bundled/files/md5").rglob("*") if file.is_file()]
    assert len(objects) == 12
    for file in objects:
        name = (file.parent.name + file.name).removesuffix(".dir")
        assert hashlib.md5(file.read_bytes()).hexdigest() == name
