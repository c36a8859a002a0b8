"""A run is followed back to everything that DVC recorded upstream of it, wherever that lies now."""

import json
import shutil

import pytest
import yaml
from support.projects import edit_yaml, run_in
from support.shared import built_once

import trackstack
from trackstack.records.lineage import lineage


def run_of(project):
    """The run whose model lies in results/."""
    return json.loads((project / "results/model/model.json").read_text())["run"]


@pytest.fixture
def recorded(tiny_project, tmp_path):
    """The tiny project with the record of its run, its data copied so that it can be damaged; and the run."""
    folder = tmp_path / "a project"
    shutil.copytree(tiny_project, folder, symlinks=True)
    return folder, run_of(folder)


@pytest.fixture(scope="module")
def trained_again(tiny_project, tmp_path_factory):
    """The tiny project with another run, of another learning rate and an edited module, neither of them committed."""

    def build(place):
        folder = place / "a project"
        shutil.copytree(tiny_project, folder, symlinks=True)
        edit_yaml(folder / "params.yaml", {"train": {"lr": 0.02}})
        with (folder / "src/pipeline/train/augment.py").open("a") as file:
            file.write("# edited\n")
        run_in(folder, "dvc repro --single-item train")

    return built_once(tmp_path_factory, "trained again", build) / "a project"


@pytest.fixture
def recorded_twice(tiny_project, trained_again, tmp_path):
    """A copy of it, the first run and the second one."""
    folder = tmp_path / "a project"
    shutil.copytree(trained_again, folder, symlinks=True)
    return folder, run_of(tiny_project), run_of(folder)


def verdicts(project, key, expect):
    links = json.loads(run_in(project, f"trackstack lineage {key} --json", expect=expect).stdout)
    return {(link["what"], link["where"]): link["verdict"] for link in links}


def test_every_link_of_a_fresh_run_matches(recorded):
    project, key = recorded
    links = verdicts(project, key, expect=0)
    assert set(links.values()) == {"matches"}
    assert {
        ("data", "data/raw/tiny"),
        ("ingest: dependency", "src/pipeline/contract"),
        ("ingest: output", "data/ingested/manifest.json"),
        ("parquet: output", "data/processed"),
        ("tensor_cache: output", "data/cache"),
        ("train: dependency", "src/pipeline/models/cnn.py"),
        ("train: output", "results/model"),
        ("source", "git"),
        ("commit (edited)", "git"),  # the tiny data was committed with the results
    } <= set(links)
    assert ("check: dependency", "stages/check.py") not in links, "nothing depends on it"


def test_a_run_that_is_not_checked_out_is_verified_against_the_cache_and_git(recorded_twice):
    """Another model lies in results/, the raw data and a module were edited, a stage's output was removed."""
    project, key, _ = recorded_twice
    run_in(project, "dvc unprotect data/raw/tiny")
    raw = project / "data/raw/tiny/subject_3.csv"
    raw.write_text(raw.read_text().replace("1", "2", 1))
    shutil.rmtree(project / "data/cache")
    links = verdicts(project, key, expect=0)
    assert links["train: output", "results/model"] == "matches, in DVC's cache"
    assert links["data", "data/raw/tiny"] == "matches, in DVC's cache"
    assert links["tensor_cache: output", "data/cache"] == "matches, in DVC's cache"
    assert links["train: dependency", "src/pipeline/train"] == "matches, in git"
    assert links["ingest: output", "data/ingested/manifest.json"] == "matches"


def flip_last_byte(file):
    content = bytearray(file.read_bytes())
    content[-1] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)


def cached_files(project, folder):
    """The objects in DVC's cache of a folder's files, by their names."""
    cache = project / ".dvc/cache/files/md5"
    return {
        item["relpath"]: cache / item["md5"][:2] / item["md5"][2:]
        for item in json.loads((cache / folder[:2] / folder[2:]).read_text())
    }


def test_what_nobody_has_and_what_is_damaged_is_named(recorded):
    project, key = recorded
    run_in(project, "dvc unprotect data/raw/tiny")
    raw = project / "data/raw/tiny/subject_3.csv"
    raw.write_text(raw.read_text().replace("1", "2", 1))
    cached_files(project, yaml.safe_load((project / "data/raw/tiny.dvc").read_text())["outs"][0]["md5"])[
        "subject_3.csv"
    ].unlink()
    shutil.rmtree(project / "data/cache")
    (output,) = yaml.safe_load((project / "dvc.lock").read_text())["stages"]["tensor_cache"]["outs"]
    damaged = cached_files(project, output["md5"])["signal/subject_3.csv.0000.safetensors"]
    flip_last_byte(damaged)
    flip_last_byte(next((project / "runs" / key).glob("artifacts/*/model/model.safetensors")))
    links = verdicts(project, key, expect=1)
    assert [(what, verdict.split(":")[0]) for (what, _), verdict in links.items() if "matches" not in verdict] == [
        ("kept model", "differs"),
        ("data", "missing"),
        ("tensor_cache: output", "missing"),
    ]
    hint = "missing: not here, in DVC's cache or in git; dvc pull data/raw/tiny may bring it"
    assert links["data", "data/raw/tiny"] == hint
    assert damaged.exists(), "a look removes nothing"


def test_a_runs_source_and_data_come_into_a_worktree(recorded_twice, tmp_path):
    """Uncommitted edits included."""
    project, _, key = recorded_twice
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.04}})
    place = tmp_path / "as it was"
    assert "git worktree remove" in run_in(project, ["trackstack", "lineage", key, "--checkout", str(place)]).stderr
    assert "lr: 0.02" in (place / "params.yaml").read_text()
    assert (place / "data/cache/segments.safetensors").exists()
    # Its training is in the run cache: nothing is computed to have it there.
    assert "cached" in run_in(place, "dvc repro train").stdout
    assert run_of(place) == key
    error = run_in(project, ["trackstack", "lineage", key, "--checkout", str(place)], expect=1).stderr
    assert error == f"{place}: is there already; expected a new folder for the worktree\n"


def test_a_diff_names_parameters_source_files_and_figures(recorded_twice):
    project, key, other = recorded_twice
    rows = json.loads(run_in(project, f"trackstack diff {key} {other} --json").stdout)
    changed = {(row["what"], row["field"]) for row in rows}
    assert {("params", "train.lr"), ("code", "src/pipeline/train/augment.py"), ("metrics", "val_loss")} <= changed
    assert not {what for what, _ in changed} - {"params", "code", "metrics"}


def test_a_script_in_a_clean_checkout_without_dvc_is_followed_to_its_commit(tmp_path, monkeypatch):
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    run_in(checkout, "git init -q && git commit -q --allow-empty -m 'A commit'")
    monkeypatch.chdir(checkout)
    monkeypatch.setenv("TRACKSTACK_HOME", str(tmp_path))
    monkeypatch.setenv("TRACKSTACK_SINKS", "")
    with trackstack.start_run("mine", {}) as run:
        run.log({"loss": 1.0}, step=0)
    links = {(link.what, link.where): link.verdict for link in lineage("mine", tmp_path, checkout)}
    assert links["commit", "git"] == "matches"
    assert links["upstream", "DVC"] == "not recorded"


def test_an_unknown_run_is_one_line(tiny_project):
    assert run_in(tiny_project, "trackstack lineage nothing", expect=1).stderr.startswith("nothing: no such run in")
