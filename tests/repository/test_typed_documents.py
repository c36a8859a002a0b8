"""Every command of the documents runs, typed one after the other, and the long ones did what the document says.

These are the tests of the whole pipeline as people use it, with real DVC, git and Slurm, on tiny data.
"""

import json
import re
import shutil
import sqlite3
import sys

import pytest
from support.documents import output_of, type_commands
from support.projects import ROOT, run_in, stages_from, stages_run
from support.shared import built_once
from support.typed_documents import (
    DOCUMENTS,
    EXPERIMENT,
    OTHERS,
    build_origin,
    name_of,
    typed_commands,
    write_own_files,
    write_recordings,
)

LOOKED_AT = {
    "README.md",
    "osc.md",
    "own-data.md",
    "experiments.md",
    "training.md",
    "life-of-a-run.md",
}  # below, each by a test of its own
PLAIN = [d for d in DOCUMENTS if d.name not in OTHERS | LOOKED_AT and typed_commands(d)]


@pytest.fixture(scope="session")
def origin(tmp_path_factory):
    """The repository that is cloned, or of which a copy is worked in; shared, so only to be read."""
    return built_once(tmp_path_factory, "docs", build_origin) / "origin"


@pytest.fixture
def typed(origin, tmp_path, request):
    """Type a document's commands: `typed(document)` gives the folder of the project, and each with what it printed."""

    def type_document(document):
        lines = typed_commands(document)
        if any(command.line.startswith("sbatch") for command in lines):
            variables = {"SLURM_CONF": request.getfixturevalue("cluster").environment["SLURM_CONF"]}
        else:
            variables = {"PATH": request.getfixturevalue("path_without_slurm")}
        folder = tmp_path
        if not any("<this repository>" in command.line for command in lines):
            folder = tmp_path / "trackstack"
            shutil.copytree(origin, folder, symlinks=True)
            (folder / ".venv").symlink_to(sys.prefix)
            if EXPERIMENT in document.read_text():
                run_in(folder, "dvc exp apply -q lower-lr")
        write_recordings(tmp_path / "recordings")
        if document.name == "own-data.md":
            write_own_files(folder)
        edits = [{"models": {"mine": {"hidden": 64, "dropout": 0.3}}}]
        outputs = type_commands(document, lines, folder, tmp_path, edits, ORIGIN=str(origin), **variables)
        return tmp_path / "trackstack", outputs

    return type_document


@pytest.mark.parametrize("document", PLAIN, ids=name_of)
def test_every_command_runs(document, typed):
    typed(document)


def test_the_readme_leads_from_a_clone_to_experiments_and_versions_of_own_data(typed):
    project, outputs = typed(ROOT / "README.md")
    said = output_of(outputs, "make repro")
    # ingest is skipped: its output is in git, and what it reads has not changed.
    assert set(stages_run(said)) == stages_from(project, "parquet")
    assert "test_accuracy" in said
    assert len(re.findall(r"^  dvc exp ", said.split("Done. Three things to try next")[1], re.MULTILINE)) == 3
    assert "test_accuracy" in output_of(outputs, "dvc metrics show")
    page = (project / "dvc_plots/index.html").read_text()
    for title in ("Loss", "Validation accuracy", "Confusion matrix", "F1 by class", "Calibration"):
        assert title in page

    assert {"train.model", "test_accuracy"} <= set(output_of(outputs, "dvc exp show").split())
    runs = json.loads(run_in(project, "trackstack runs list --json").stdout)
    (name,) = re.findall(r"Ran experiment\(s\): (\S+)", output_of(outputs, "dvc exp run --temp"))
    (elsewhere,) = (run for run in runs if run["name"] == name)
    assert "test_accuracy" in elsewhere["metrics"], "both stages report home from a temporary folder"

    # The versions of one's own data, also from the remote alone.
    file = project / "data/raw/mine/subject_01.csv"
    corrected = file.read_text()
    run_in(project, "git checkout v1.0 -- data/raw/mine.dvc && dvc checkout data/raw/mine.dvc")
    assert file.read_text() != corrected
    shutil.rmtree(project / ".dvc/cache")
    shutil.rmtree(project / "data/raw/mine")
    run_in(project, "git checkout v1.1 -- data/raw/mine.dvc && dvc pull data/raw/mine.dvc")
    assert file.read_text() == corrected


def test_a_table_of_ones_own_leads_to_a_recorded_run_and_next_months_file_to_an_update(typed):
    project, outputs = typed(ROOT / "docs/own-data.md")
    said = output_of(outputs, "trackstack catalog add weine.csv")
    assert "semicolon-separated, decimal comma, cp1252" in said
    assert "git add data/catalog.yaml data/raw/weine.dvc data/raw/.gitignore && git commit -m 'Add weine'" in said
    assert "\n  dvc exp run -S dataset=weine\n" in said
    assert set(stages_run(output_of(outputs, "dvc exp run -S dataset=weine"))) == stages_from(project, "check")
    assert "units           length mm, mass g" in output_of(outputs, "trackstack catalog add fruit.xlsx")
    shown = output_of(outputs, "trackstack runs show")
    assert re.search(r"^params\.dataset +weine *$", shown, re.MULTILINE)
    assert float(re.search(r"^metrics\.test_accuracy +(\S+) *$", shown, re.MULTILINE)[1]) > 0.7
    record = json.loads(run_in(project, "trackstack runs show --json").stdout)
    assert record["params"]["dataset"] == "diabetes", "the last one that is trained"
    assert record["metrics"]["test_r2"] > 0.2
    assert {"weine", "steps", "walks"} <= set(output_of(outputs, "trackstack catalog list").split())


def test_a_model_can_be_trained_for_a_last_time_without_validation_people(typed):
    project, outputs = typed(ROOT / "docs/experiments.md")
    assert "train.lr" in output_of(outputs, "dvc exp diff")
    said = output_of(outputs, "dvc exp run -S tensor_cache.validation=false")
    assert set(stages_run(said)) == stages_from(project, "tensor_cache")
    assert " val" not in said.split(" windows")[0]
    assert "val_" not in said
    assert re.search(r"trial \d: val_loss \S+ at 1 steps", output_of(outputs, "trackstack search examples"))
    assert output_of(outputs, "trackstack search replay") == "search search: same decisions\n"
    assert "How the best came to be" in (project / "search.html").read_text()


def test_a_job_in_a_fresh_clone_on_slurm_makes_the_recorded_bytes_and_says_what_it_took(typed, tmp_path):
    _, outputs = typed(ROOT / "docs/osc.md")
    clone = tmp_path / "store/tester/trackstack"
    assert run_in(clone, "git status --porcelain").stdout == " M .dvc/config\n", "dvc.lock is as it was"
    job = output_of(outputs, "sbatch slurm/repro.sh").split()[-1]
    log = (clone / f"logs/repro_{job}.out").read_text()
    beginning, end = log.split("Running stage 'parquet'")[0], log.split("Running stage 'evaluate'")[1]
    for part in (f"environment: {clone / '.venv-lab'}", "device: CPU", f"scancel {job}"):
        assert part in beginning
    for part in ("test_accuracy", "run: r", "stages: parquet", "s of CPU", "finished"):
        assert part in end, log
    with sqlite3.connect(clone / "project.db") as database:
        (run,) = database.execute("SELECT run_key FROM runs WHERE slurm_job_id = ?", [job]).fetchone()
    shown = json.loads(run_in(clone, ["trackstack", "runs", "show", run, "--json"]).stdout)
    assert shown["tags"]["slurm_job_id"] == job


def test_a_run_is_tried_chosen_promoted_shared_and_proved_by_a_stranger(typed):
    _, outputs = typed(ROOT / "docs/life-of-a-run.md")
    assert "1  0.01 " in output_of(outputs, "trackstack runs best")
    assert "iris@v1.0.0 is champion" in output_of(outputs, "trackstack runs promote")
    assert "4 runs" in output_of(outputs, "trackstack push")
    verdicts = [said.strip().splitlines()[-1] for line, said in outputs if line.startswith("trackstack reproduce")]
    run = "r596e4db2310c"
    assert [verdict.split(": ", 1) for verdict in verdicts] == [
        [run, "identical"],
        [run, "identical"],
        [run, "differs: parameters: train: params.json:train.alpha: 0.01, now 0.02"],
        [run, "identical"],
    ]
