"""`trackstack data diff` in a project, as it is typed."""

import json
import shutil
from pathlib import Path

import pytest
from support.projects import edit_yaml
from typer.testing import CliRunner

from pipeline.cli import app
from trackstack import UserError
from trackstack.system.git import git

RAW = Path("data/raw/tiny")


@pytest.fixture
def inside(project, monkeypatch):
    """The present folder is a reproduced and committed project."""
    monkeypatch.chdir(project)
    return project


def diff(*arguments):
    return CliRunner().invoke(app, ["data", "diff", *arguments])


def refused(*arguments):
    done = diff(*arguments)
    assert isinstance(done.exception, UserError), done.output
    return str(done.exception)


def change_data(project, run):
    """One file of four is another, one is new; the rows are made."""
    run(project, f"dvc unprotect {RAW}")
    first = project / RAW / "subject_1.csv"
    header, *rows = first.read_text().splitlines()
    (project / RAW / "subject_5.csv").write_text("\n".join([header, *(f"1{row[0]},5{row[3:]}" for row in rows)]))
    first.write_text("\n".join([header, *(f"{row[:4]}9{row[5:]}" for row in rows)]))
    edit_yaml(project / "data/catalog.yaml", {"datasets": {"tiny": {"num_samples": 600}}})
    run(project, f"dvc add -q {RAW} && dvc repro -q parquet")


def test_it_shows_what_changed_since_the_last_commit(inside, run):
    done = diff()
    assert done.exit_code == 0, done.output
    assert "tiny: nothing differs between HEAD (" in done.stdout
    change_data(inside, run)
    done = diff()
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[0].startswith("tiny: HEAD (")
    assert "files     1 added (subject_5.csv); 0 removed; 1 changed (subject_1.csv); 3 the same" in lines
    assert "groups    4 -> 5: 1 added (5); 0 removed" in lines
    assert any(line.split() == ["rows", "accepted", "480", "600", "+120"] for line in lines)
    assert "PSI and KS of numbers: from all 480 and all 600 rows." in lines
    assert "\x1b" not in done.stdout
    found = json.loads(diff("main", "--json").stdout)
    assert found["files"]["changed"] == ["subject_1.csv"]
    assert max(found["columns"], key=lambda column: column["psi"])["name"] == "ax"
    run(inside, "git commit -qam 'Other data'")
    assert "nothing differs" in diff().stdout
    assert json.loads(diff("HEAD~1", "--json").stdout)["columns"] == found["columns"]


def test_rows_that_are_not_of_the_present_files_are_said(inside):
    file = RAW / "subject_1.csv"
    content = file.read_text()
    file.unlink()  # a link to DVC's cache
    file.write_text(content + "3,1,0,0,0,up\n")
    assert "data/raw/tiny: other files than those that the rows were made from; type: dvc repro" in diff().stderr
    edit_yaml(Path("params.yaml"), {"dataset": "sensor_v1"})
    assert "params.yaml has dataset sensor_v1, but the rows are of tiny; type: dvc repro parquet" in diff().stderr


def test_what_cannot_be_compared_is_one_line(inside, run):
    assert refused("nowhere") == "nowhere: no such commit, branch or tag; git log --oneline shows the commits"
    done = run(inside, "trackstack data diff nowhere", expect=1)
    assert (done.stdout, done.stderr) == ("", f"{refused('nowhere')}\n")
    empty = git(inside, "commit-tree", "-m", "Nothing", git(inside, "mktree"))
    assert refused(empty).startswith(f"{empty}: its dvc.lock names no rows")
    git(inside, "tag", "cut", git(inside, "commit-tree", "-m", "Cut", with_lock(inside, "stages: [")))
    assert refused("cut").startswith("cut: its dvc.lock cannot be read")
    summary = next(Path("data/processed/summaries").iterdir())
    content = summary.read_text()
    replaced(summary, content.replace('"rows": ', '"rows": 1'))
    assert refused().endswith("type: dvc repro --force ingest parquet")
    replaced(summary, "{}")
    assert "the working tree: data/processed was written by other code than this" in refused()
    shutil.rmtree("data/processed")
    assert refused() == "data/processed/profile.json: no such file; type: dvc repro parquet"


def with_lock(folder, text):
    """A tree of git with a dvc.lock alone."""
    blob = git(folder, "hash-object", "-w", "--stdin", stdin=text)
    return git(folder, "mktree", stdin=f"100644 blob {blob}\tdvc.lock\n")


def replaced(path, text):
    path.unlink()  # a link to DVC's cache
    path.write_text(text)


def test_what_the_cache_lacks_can_be_fetched_as_it_says(inside, run):
    run(
        inside,
        "dvc remote add -q -d --local store ../store && dvc push -q data/processed && dvc unprotect data/processed",
    )
    shutil.rmtree(".dvc/cache/files")
    line = refused()
    assert line.startswith("HEAD: data/processed/profile.json is not in DVC's cache; type: dvc fetch --all-branches ")
    run(inside, line.partition("type: ")[2])
    assert "nothing differs" in diff().stdout
    kept = [file for file in Path(".dvc/cache/files").rglob("*") if file.is_file()]
    assert len(kept) == 1 + 1 + 4, "neither rows nor raw files"
