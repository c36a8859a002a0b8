"""What the pipeline promises of its outputs and of what an edit runs again; see also `test_typed_documents.py`."""

import csv
import getpass
import io
import json
import re
import socket

import pytest
import yaml
from support.projects import edit_yaml, stages_run
from support.recording import in_journals, in_mlflow, in_sqlite, statuses, wait_until_nobody_delivers


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
        # The length of a safetensors header stands first, and 640 looks like a pickle: but none goes on with a zero.
        content = file.read_bytes()[:3]
        assert not re.match(rb"PK|\x80[\x02-\x05][^\x00]", content), file


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"parquet": {"max_rejected": 1}}, {"ingest", "parquet"}),
        ({"tensor_cache": {"window": 30}}, {"ingest", "tensor_cache"}),
        ({"train": {"epochs": 3}}, {"ingest", "train"}),
    ],
)
def test_a_setting_of_the_dataset_makes_the_stage_stale_that_reads_it(project, run, settings, expected):
    """`ingest` checks every edit of the entry; its manifest stays the same, so that nothing follows from it."""
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny": {"settings": settings}}})
    assert set(json.loads(run(project, "dvc status --json").stdout)) == expected
    before = (project / "data/ingested/manifest.json").read_bytes()
    run(project, "dvc repro --single-item ingest")
    assert (project / "data/ingested/manifest.json").read_bytes() == before
    assert set(json.loads(run(project, "dvc status --json").stdout)) == expected - {"ingest"}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"tensor_cache": {"window": 30}}, {"tensor_cache"}),
        ({"train": {"lr": 0.1}}, {"train"}),
        ({"train": {"metric": "f_beta"}}, {"check", "train"}),
        ({"evaluate": {"calibration_bins": 5}}, {"evaluate"}),
    ],
)
def test_a_parameter_makes_the_stages_stale_that_read_it_and_no_other(project, run, change, expected):
    """What follows from their outputs, if these change, is DVC's part."""
    edit_yaml(project / "params.yaml", change)
    assert set(json.loads(run(project, "dvc status --json").stdout)) == expected


def test_a_new_parameter_of_a_stage_runs_that_stage_alone(project, run):
    with (project / "src/pipeline/evaluate/params.py").open("a") as file:
        file.write('    new: Count\n    """A new one."""\n')
    edit_yaml(project / "params.yaml", {"evaluate": {"new": 1}})
    assert stages_run(run(project, "dvc repro").stdout) == ["evaluate"]


def test_what_changes_no_result_runs_nothing(project, run):
    """Neither what is not chosen, nor the tool's part that tracks, submits and prints."""
    unchosen = {
        "models": {"mlp": {"hidden": 5}},
        "losses": {"focal": {"gamma": 1}},
        "metrics": {"f_beta": {"beta": 2}},
    }
    edit_yaml(project / "params.yaml", unchosen)
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"another": {"description": "other words"}}})
    (project / "README.md").write_text("other words\n")
    tool = project / "src/trackstack"
    for name in ("tracking/new", "system/new", "cluster/new", "records/new", "cli/new"):
        (tool / f"{name}.py").write_text("# a new module\n")
    for name in ("tracking/run", "system/locks", "cluster/repair", "records/query", "cli/printing", "__init__"):
        with (tool / f"{name}.py").open("a") as file:
            file.write("# other words\n")
    for other in ("models/mlp", "losses/focal", "metrics/f_beta"):
        (project / f"src/pipeline/{other}.py").write_text("# not the chosen one\n")
    assert stages_run(run(project, "dvc repro").stdout) == []


def test_a_helper_of_a_model_must_be_a_dep_and_then_runs_the_stages_that_use_it(project, run):
    helper, definition = project / "src/pipeline/layers/fourier.py", project / "dvc.yaml"
    helper.parent.mkdir()
    (helper.parent / "__init__.py").write_text('"""Layers of our own."""\n')
    helper.write_text("FREQUENCIES = 8\n")
    with (project / "src/pipeline/models/cnn.py").open("a") as file:
        file.write("\nfrom pipeline.layers.fourier import FREQUENCIES\n")
    done = run(project, "dvc repro train", expect=255)
    name = helper.relative_to(project)
    assert (
        f"{name}: stage train imports it, but dvc.yaml does not list it, so that an edit of it would run nothing; "
        f"add {name} to the deps of train"
    ) in done.stderr.splitlines()
    assert "run r" not in done.stdout, "it is refused before it trains"
    content = yaml.safe_load(definition.read_text())
    chosen = "src/pipeline/models/${train.model}.py"
    users = {stage for stage, entry in content["stages"].items() if chosen in entry["deps"]}
    assert users >= {"train", "evaluate"}
    for stage in users:
        content["stages"][stage]["deps"].append("src/pipeline/layers")
    definition.write_text(yaml.safe_dump(content, sort_keys=False))
    assert set(stages_run(run(project, "dvc repro").stdout)) == users
    helper.write_text("FREQUENCIES = 16\n")
    assert set(json.loads(run(project, "dvc status --json").stdout)) == users


def test_a_description_runs_the_cheap_stages_and_no_training(project, run):
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny": {"description": "other words"}}})
    assert stages_run(run(project, "dvc repro").stdout) == ["ingest", "parquet"]


def test_queued_experiments_run_two_at_a_time_on_their_own_code_and_arrive_in_the_checkouts_home(cheap_project, run):
    project, module = cheap_project, cheap_project / "src/pipeline/train/params.py"
    original = module.read_text()
    module.write_text(original + '\nprint("code as it was queued")\n')
    run(project, "dvc exp run --queue -S train.lr=0.001,0.002")
    module.write_text(original + '\nraise SystemExit("code edited after queueing")\n')
    run(project, "TRACKSTACK_SINKS=sqlite,mlflow dvc queue start -j 2")
    wait = "for _ in {1..300}; do sleep 3; dvc queue status | grep -qE 'Queued|Running' || break; done"
    run(project, ["bash", "-c", wait])
    status = run(project, "dvc queue status").stdout
    assert status.count("Success") == 2, status
    for task in re.findall(r"^([0-9a-f]{7}) ", status, re.MULTILINE):
        assert "code as it was queued" in run(project, f"dvc queue logs {task}").stdout
    rows = csv.DictReader(io.StringIO(run(project, "dvc exp show --csv --hide-workspace").stdout))
    assert {row["train.lr"] for row in rows if row["rev"]} >= {"0.001", "0.002"}
    wait_until_nobody_delivers(project)
    assert [status for status, _ in statuses(project)] == ["finished"] * 2
    for recorded in json.loads(run(project, "trackstack runs list --json").stdout):
        assert "train_loss" in recorded["metrics"]
        assert f"refs/trackstack/{recorded['run']}" in run(project, "git for-each-ref refs/trackstack").stdout
    assert sorted(in_mlflow(project)) == sorted(in_sqlite(project)) == sorted(in_journals(project))


def test_pushing_own_data_before_choosing_a_remote_fails_visibly(project, run):
    assert "no remote" in run(project, "dvc push data/raw/tiny.dvc", expect=None).stderr.lower()
