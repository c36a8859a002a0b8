"""A run is followed back to its raw files, and what no longer matches is said so."""

import json

import pytest
from conftest import edit_yaml, run_in


@pytest.fixture
def recorded(project):
    """The project with a record of its run."""
    run_in(project, "dvc repro --force --no-run-cache train")
    return project, json.loads((project / "results/model/model.json").read_text())["run"]


def verdicts(project, run, key, expect):
    links = json.loads(run(project, f"trackstack lineage {key} --json", expect=expect).stdout)
    return {(link["what"], link["where"].rpartition("/")[2]): link["verdict"] for link in links}


def test_every_link_of_a_fresh_run_matches(recorded, run):
    project, key = recorded
    found = verdicts(project, run, key, expect=0)
    assert set(found.values()) == {"matches"}
    assert {what for what, _ in found} == {
        *("kept model", "model", "tensors", "Parquet", "profile", "manifest", "raw file", "source", "commit")
    }
    assert len([what for what, _ in found if what == "raw file"]) == 4


def test_what_was_changed_since_is_named(recorded, run):
    project, key = recorded
    run(project, "dvc unprotect data/raw/tiny data/cache")
    raw = project / "data/raw/tiny/subject_3.csv"
    raw.write_text(raw.read_text().replace("1", "2", 1))
    cache = project / "data/cache/tensors.safetensors"
    content = bytearray(cache.read_bytes())
    content[-1] ^= 1
    cache.write_bytes(content)
    (project / "results/model/model.json").unlink()
    found = verdicts(project, run, key, expect=1)
    wrong = {link for link, verdict in found.items() if verdict != "matches"}
    assert wrong == {("raw file", "subject_3.csv"), ("tensors", "cache"), ("model", "model")}
    assert found["raw file", "subject_3.csv"].startswith("differs: ")


def test_a_diff_names_parameters_source_files_and_figures(recorded, run):
    project, key = recorded
    edit_yaml(project / "params.yaml", {"train": {"lr": 0.02}})
    with (project / "src/trackstack/augment.py").open("a") as file:
        file.write("# edited\n")
    run(project, "dvc repro train")
    other = json.loads((project / "results/model/model.json").read_text())["run"]
    rows = json.loads(run(project, f"trackstack diff {key} {other} --json").stdout)
    changed = {(row["what"], row["field"]) for row in rows}
    assert {("params", "train.lr"), ("code", "src/trackstack/augment.py"), ("metrics", "val_loss")} <= changed
    assert not {what for what, _ in changed} - {"params", "code", "metrics"}


def test_an_unknown_run_is_one_line(project, run):
    assert run(project, "trackstack lineage nothing", expect=1).stderr.startswith("nothing: no such run in")
