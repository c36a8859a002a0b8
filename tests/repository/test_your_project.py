"""docs/your-project.md, typed: a clone becomes somebody's own project, and takes over improvements later."""

import re
import subprocess

import pytest
from support.documents import Command, commands, output_of, type_commands
from support.projects import ROOT, TINY_PARAMS, copy_checkout, run_in, stages_run, write_tiny_recordings

DOCUMENT = ROOT / "docs/your-project.md"
FETCH = Command("git fetch upstream", False)
# What a person writes into params.yaml: for the data, and for the model.
EDITS = [
    {name: TINY_PARAMS[name] for name in ("tensor_cache", "train", "evaluate")} | {"dataset": "ours"},
    {"train": {"model": "ours", "epochs": 1}, "models": {"ours": {"hidden": 8, "dropout": 0}}},
]


def touched(project, commit):
    """The files that a commit adds or changes, but for those that DVC writes."""
    names = run_in(project, f"git show --format= --name-only --diff-filter=AM {commit}").stdout.split()
    by_dvc = ("dvc.lock", "data/ingested/manifest.json", ".gitignore", ".dvc")
    return [name for name in names if not name.endswith(by_dvc)]


@pytest.fixture(scope="module")
def typed(tmp_path_factory):
    """The project after section 5, and what each command printed; then twenty commits upstream, and section 6."""
    place = tmp_path_factory.mktemp("home")
    upstream = copy_checkout(place / "upstream")
    write_tiny_recordings(place / "recordings")
    lines = list(commands(DOCUMENT))
    begin = lines.index(FETCH)
    before = type_commands(DOCUMENT, lines[:begin], place, place, EDITS, ORIGIN=str(upstream))
    project = place / "our-project"
    head = run_in(project, "git rev-parse HEAD").stdout.strip()
    improve(upstream)
    after = type_commands(DOCUMENT, lines[begin:], project, place, [])
    return project, head, before, after


def improve(upstream):
    """Twenty commits of the tool, its tests and documents, of a stage, and of dvc.lock."""
    files = [*sorted((upstream / "src/trackstack/tracking").glob("*.py")), *(upstream / "docs").glob("*.md")]
    files += [upstream / "src/pipeline/evaluate/params.py", upstream / "tests/conftest.py", upstream / "Makefile"]
    files += [upstream / "README.md", upstream / "params.yaml", upstream / "dvc.yaml"]
    for number, file in enumerate(files[-20:]):
        if file.suffix == ".md":
            file.write_text(file.read_text() + "\nA better word.\n")
        elif file.name == "dvc.yaml":
            file.write_text(file.read_text().replace("desc: Train the model", "desc: Train a model"))
        else:
            file.write_text(file.read_text() + "# an improvement\n")
        lock = upstream / "dvc.lock"
        lock.write_text(re.sub(r"md5: [0-9a-f]{8}", f"md5: {number:08x}", lock.read_text()))
        run_in(upstream, f"git commit -qam 'Improvement {number}'")
    assert run_in(upstream, "git rev-list --count HEAD").stdout.strip() == "21"


def test_a_handful_of_files_is_touched_and_all_stages_run_once(typed):
    project, head, before, _ = typed
    removed, own, stage = (touched(project, f"{head}~{age}") for age in (2, 1, 0))
    assert len(removed) <= 4, removed
    assert sorted(own) == ["data/catalog.yaml", "params.yaml", "src/pipeline/models/ours.py"]
    assert len(stage) == 4, stage
    assert stages_run(output_of(before, "dvc repro")) == [
        "check",
        "ingest",
        "parquet",
        "tensor_cache",
        "train",
        "evaluate",
    ]


def test_an_added_stage_runs_and_retrains_nothing(typed):
    project, _, before, _ = typed
    assert stages_run(output_of(before, "dvc repro", 1)) == ["export"]
    assert (project / "results/export/model.json").stat().st_size > 1000


def test_nothing_but_dvc_lock_conflicts_with_twenty_commits_upstream_and_the_way_out_works(typed):
    project, _, _, after = typed
    merged = output_of(after, "git merge")
    assert re.findall(r"Merge conflict in (\S+)", merged) == ["dvc.lock"]
    assert stages_run(output_of(after, "dvc repro")) == ["evaluate"]
    assert run_in(project, "git status --porcelain --untracked-files=no").stdout == ""
    assert run_in(project, "dvc status").stdout.strip() == "Data and pipelines are up to date."


def test_the_tests_of_the_machinery_need_no_sample_and_know_no_list_of_stages(typed):
    """All are collected, and those that look at dvc.yaml, params.yaml and the house pass.

    Plain assertions: to rewrite those of all tests, in a clone that nobody has run, costs as much as the tests do.
    """
    project, *_ = typed
    chosen = "test_house or test_params or test_models"
    done = run_in(project, ["pytest", "-q", "--assert=plain", "-m", "not slow", "-k", chosen])
    assert re.search(r"\d+ passed, (\d+ skipped, )?\d+ deselected", done.stdout)
    assert "error" not in done.stdout.splitlines()[-1]
    assert subprocess.run(["git", "grep", "-l", "sensor_v", "--", "src"], cwd=project, check=False).returncode == 1
