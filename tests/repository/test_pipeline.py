"""The pipeline as people use it: repro, experiments, data versions. Real DVC throughout, on tiny data."""

import csv
import getpass
import io
import json
import re
import shutil
import socket
import sys

import pytest
import yaml
from support.projects import edit_yaml, run_in
from support.recording import in_journals, in_mlflow, in_sqlite, statuses, wait_until_nobody_delivers


def stages_run(output):
    """The stages that DVC executed, in order."""
    return re.findall(r"^Running stage '(.+?)':", output, re.MULTILINE)


def test_make_repro_runs_nothing_twice_and_ends_with_the_metrics_and_what_to_try_next(project, run):
    (project / ".venv").symlink_to(sys.prefix)
    output = run(project, "make --old-file=.venv/.installed repro").stdout
    assert stages_run(output) == []
    assert "test_accuracy" in output
    assert (
        len(re.findall(r"^  dvc exp ", output[output.index("Done. Three things to try next") :], re.MULTILINE)) == 3
    )


def test_dvcs_own_views_say_something_useful_at_once(project, run):
    metrics = json.loads(run(project, "dvc metrics show --json").stdout)[""]["data"]
    assert "test_accuracy" in metrics["results/evaluation/metrics.json"]["data"]
    table = run(project, "dvc exp show --csv").stdout
    assert {"test_accuracy", "val_accuracy", "train.lr", "dataset"} <= set(table.splitlines()[0].split(","))
    run(project, "dvc plots show -o plots")
    page = (project / "plots/index.html").read_text()
    for title in ("Loss", "Validation accuracy", "Confusion matrix", "F1 by class", "Calibration"):
        assert title in page
    run(project, "dvc plots diff -o plots HEAD")


def outputs_of(project):
    folders = ("data/ingested", "data/processed", "data/cache", "results")
    files = [file for folder in folders for file in (project / folder).rglob("*") if file.is_file()]
    assert len(files) > 10
    return files


def test_no_output_holds_a_path_a_host_or_a_time(tiny_project):
    for file in outputs_of(tiny_project):
        content = file.read_bytes()
        for path in (tiny_project, tiny_project.resolve()):
            assert str(path).encode() not in content, file
        assert tiny_project.name.encode() not in content, file
        if file.suffix not in (".parquet", ".safetensors"):  # random bytes can look like a time or a short name
            for name in (socket.gethostname(), getpass.getuser()):
                assert not re.search(rf"\b{re.escape(name)}\b".encode(), content), f"{file}: {name}"
            assert not re.search(rb"20[2-9]\d-[01]\d-[0-3]\d|\d\d:\d\d:\d\d", content), file


def test_no_output_is_a_pickle_or_an_archive_that_may_hold_one(tiny_project):
    for file in outputs_of(tiny_project):
        assert not file.read_bytes().startswith((b"\x80\x02", b"\x80\x03", b"\x80\x04", b"\x80\x05", b"PK")), file


def test_the_same_bytes_come_out_when_everything_is_forced(project, run):
    lock = (project / "dvc.lock").read_text()
    stages = yaml.safe_load((project / "dvc.yaml").read_text())["stages"]
    assert len(stages_run(run(project, "dvc repro --force --no-run-cache").stdout)) == len(stages)
    assert (project / "dvc.lock").read_text() == lock
    assert run(project, "git status --porcelain").stdout == ""


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tensor_cache": {"window": 30}}, ["tensor_cache", "train", "evaluate"]),
        ({"evaluate": {"calibration_bins": 5}}, ["evaluate"]),
        ({"train": {"metric": "top_k"}}, ["check", "train", "evaluate"]),
    ],
)
def test_a_parameter_runs_what_depends_on_it_and_nothing_else(project, run, change, expected):
    edit_yaml(project / "params.yaml", change)
    assert stages_run(run(project, "dvc repro").stdout) == expected


def test_a_new_parameter_of_a_stage_runs_that_stage_alone(project, run):
    with (project / "src/pipeline/evaluate/params.py").open("a") as file:
        file.write('    new: Count\n    """A new one."""\n')
    edit_yaml(project / "params.yaml", {"evaluate": {"new": 1}})
    assert stages_run(run(project, "dvc repro").stdout) == ["evaluate"]


def test_what_changes_no_result_runs_nothing(project, run):
    """Neither what is not chosen, nor the tool's part that tracks, submits and prints."""
    unchosen = {"models": {"mlp": {"hidden": 5}}, "losses": {"focal": {"gamma": 1}}, "metrics": {"top_k": {"k": 1}}}
    edit_yaml(project / "params.yaml", unchosen)
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"another": {"description": "other words"}}})
    (project / "README.md").write_text("other words\n")
    tool = project / "src/trackstack"
    for name in ("tracking/new", "system/new", "cluster/new", "records/new", "cli/new"):
        (tool / f"{name}.py").write_text("# a new module\n")
    for name in ("tracking/run", "system/locks", "cluster/repair", "records/query", "cli/printing", "__init__"):
        with (tool / f"{name}.py").open("a") as file:
            file.write("# other words\n")
    for other in ("models/mlp", "losses/focal", "metrics/top_k"):
        (project / f"src/pipeline/{other}.py").write_text("# not the chosen one\n")
    assert stages_run(run(project, "dvc repro").stdout) == []


def test_a_helper_of_a_model_must_be_a_dep_and_then_runs_the_stages_that_use_it(project, run):
    helper, definition = project / "src/pipeline/layers/fourier.py", project / "dvc.yaml"
    helper.parent.mkdir()
    (helper.parent / "__init__.py").write_text('"""Layers of our own."""\n')
    helper.write_text("FREQUENCIES = 8\n")
    with (project / "src/pipeline/models/cnn.py").open("a") as file:
        file.write("\nfrom pipeline.layers.fourier import FREQUENCIES\n")
    error = run(project, "dvc repro train", expect=255).stderr
    assert "src/pipeline/layers/fourier.py: stage train imports it, but dvc.yaml does not list it" in error
    content = yaml.safe_load(definition.read_text())
    for stage in ("train", "evaluate"):
        content["stages"][stage]["deps"].append("src/pipeline/layers")
    definition.write_text(yaml.safe_dump(content, sort_keys=False))
    assert stages_run(run(project, "dvc repro").stdout) == ["train", "evaluate"]
    helper.write_text("FREQUENCIES = 16\n")
    assert set(json.loads(run(project, "dvc status --json").stdout)) == {"train", "evaluate"}


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
    module = project / "src/pipeline/train/config.py"
    original = module.read_text()
    module.write_text(original + '\nprint("code as it was queued")\n')
    run(project, "dvc exp run --queue -S train.lr=0.001,0.002")
    module.write_text(original + '\nraise SystemExit("code edited after queueing")\n')
    run(project, "TRACKSTACK_SINKS=sqlite,mlflow dvc queue start -j 2")
    run(project, "while dvc queue status | grep -qE 'Queued|Running'; do sleep 0.5; done")
    status = run(project, "dvc queue status").stdout
    assert status.count("Success") == 2, status
    for task in re.findall(r"^([0-9a-f]{7}) ", status, re.MULTILINE):
        assert "code as it was queued" in run(project, f"dvc queue logs {task}").stdout
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
    assert stages_run(run(project, "dvc repro parquet").stdout) == ["ingest", "parquet"]

    run(project, "git checkout v1.0 -- data/raw/tiny.dvc && dvc checkout data/raw/tiny.dvc")
    assert file.read_text() == before
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "data/raw/tiny")
    run(project, "git checkout v1.1 -- data/raw/tiny.dvc && dvc pull data/raw/tiny.dvc")
    assert file.read_text() != before


def test_pushing_own_data_before_choosing_a_remote_fails_visibly(project, run):
    assert "no remote" in run(project, "dvc push data/raw/tiny.dvc", expect=None).stderr.lower()
