"""Bad input, case by case: the exact line that a user sees, exit code 1, no traceback, nothing half written.

The stages' own scripts run, in this process. `bad_input.yaml` beside this file has the cases; each changes a good project:
`file` gets the `content`, or `change` (YAML) is merged into it, and `run` is started.
"""

import contextlib
import io
import os
import runpy
import shutil
import sys
from pathlib import Path

import pytest
import yaml
from support.projects import ROOT, TINY_ENTRY, TINY_PARAMS, edit_yaml, run_in, write_reference
from typer.testing import CliRunner

from pipeline.ingest.file_notes import NOTES
from pipeline.modeling.base import MODELS
from trackstack.cli import app

CASES = yaml.safe_load(Path(__file__).with_name("bad_input.yaml").read_text())
HEADER = "recording,subject,t,ax,ay,az,label"
ENTRY = TINY_ENTRY | {
    "num_samples": 12,
    "time": "t",
    "features": [{"name": "ax", "range": [-10, 10]}, {"name": "ay", "missing": "mean"}, {"name": "az"}],
    "settings": TINY_ENTRY["settings"] | {"tensor_cache": {"window": 2, "stride": 1, "folds": 4}},
}
KEPT = {".processed.parts.partial"}
COMMANDS = {
    "check": [],
    "ingest": ["data/raw/tiny", "data/ingested/manifest.json"],
    "parquet": ["data/raw/tiny", "data/ingested/manifest.json", "data/processed"],
    "tensor_cache": ["data/processed", "data/cache"],
}


@pytest.fixture(scope="module")
def good(tmp_path_factory):
    """A project in which every stage but training has run: four files, each of one person and three rows."""
    folder = tmp_path_factory.mktemp("good")
    (folder / "src").symlink_to(ROOT / "src")  # the stages refuse code from elsewhere
    (folder / "stages").symlink_to(ROOT / "stages")
    (folder / "pyproject.toml").symlink_to(ROOT / "pyproject.toml")
    raw = folder / "data/raw/tiny"
    raw.mkdir(parents=True)
    for subject in range(1, 5):
        rows = [f"{subject},{subject},{second},0.5,1,2,{('up', 'down')[subject % 2]}" for second in range(3)]
        (raw / f"subject_{subject}.csv").write_text("\n".join([HEADER, *rows]) + "\n")
    write_reference(folder)
    (folder / "data/catalog.yaml").write_text(yaml.safe_dump({"datasets": {"tiny": ENTRY}}, sort_keys=False))
    edit_yaml(folder / "params.yaml", TINY_PARAMS)
    journal = folder / "runs/r0123456789ab/journal-1.jsonl"
    journal.parent.mkdir(parents=True)
    journal.write_text('{"type":"end","time":1,"status":"finished"}\n')
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for name in COMMANDS:
            assert run(name) == (0, "")
    return folder


@pytest.fixture
def project(good, tmp_path, monkeypatch):
    folder = tmp_path / "project"
    shutil.copytree(good, folder, symlinks=True)
    monkeypatch.chdir(folder)
    monkeypatch.setenv("TRACKSTACK_HOME", str(folder))
    monkeypatch.setenv("TRACKSTACK_SINKS", "sqlite")
    return folder


def run(name):
    """Exit code and stderr of a stage or a command."""
    if name.startswith("trackstack "):
        done = CliRunner().invoke(app, name.split()[1:])
        return done.exit_code, done.stderr
    arguments, sys.argv = sys.argv, [f"stages/{name}.py", *COMMANDS[name]]
    try:
        with contextlib.redirect_stderr(io.StringIO()) as said:
            runpy.run_path(f"stages/{name}.py", run_name="__main__")
    except SystemExit as end:
        return end.code or 0, said.getvalue()
    finally:
        sys.argv = arguments
    return 0, said.getvalue()


def contents(folder):
    """What outputs and inputs hold; a lock, the record of the runs and what is kept for the next start are neither."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.name != NOTES.name]
    files = [file for file in files if not KEPT.intersection(file.parts)]
    return {file: file.read_bytes() for file in files if file.suffix != ".lock" and "project.db" not in file.name}


def damage(case):
    file = Path(case["file"])
    if "change" in case:
        edit_yaml(file, case["change"])
    elif case.get("content") is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        text = case["content"].replace("HEADER", HEADER)
        file.write_bytes(text.encode(case.get("encoding", "utf-8")))
    if case.get("after") == "ingest" and "data/raw" in case["file"]:
        rows = sum(other.read_bytes().rstrip(b"\n").count(b"\n") for other in Path("data/raw/tiny").iterdir())
        edit_yaml(Path("data/catalog.yaml"), {"datasets": {"tiny": {"num_samples": rows}}})


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_bad_input_is_one_exact_line_and_leaves_nothing_behind(project, case):
    damage(case)
    if "after" in case:
        assert run(case["after"]) == (0, "")
    before = contents(project)
    code, error = run(case["run"])
    expected = case["says"].replace("PROJECT", str(project)).replace("MODELS", ", ".join(MODELS.names()))
    assert (code, error.rstrip("\n")) == (1, expected)
    after = contents(project)
    if "rejected" in case:  # the report alone takes the place of the outputs
        report = project / "data/processed/rejected.csv"
        assert after.pop(report).decode().splitlines()[1:] == case["rejected"]
        before = {file: content for file, content in before.items() if not file.is_relative_to(report.parent)}
    assert after == before


def test_random_damage_to_files_is_read_or_refused_in_words(tmp_path):
    """`python benchmarks/fuzz.py` does it 100,000 times."""
    command = ["python", str(ROOT / "benchmarks/fuzz.py"), "--inputs", "400", "--seed", "1"]
    said = run_in(tmp_path, command).stdout
    assert said.splitlines()[-1].endswith("no traceback, no hang")


def test_an_input_that_hangs_is_not_counted_as_refused(tmp_path):
    os.mkfifo(tmp_path / "catalog.yaml")  # nobody writes it
    script = """if True:
        import sys
        from pathlib import Path
        import fuzz
        fuzz.SECONDS = 1
        fuzz.KINDS = dict.fromkeys(fuzz.KINDS, (b"x", lambda *_: fuzz.load_catalog(Path("catalog.yaml"))))
        sys.argv = ["fuzz.py", "--inputs", "1"]
        fuzz.main()
    """
    environment = os.environ | {"PYTHONPATH": str(ROOT / "benchmarks"), "TMPDIR": str(tmp_path)}
    done = run_in(tmp_path, [sys.executable, "-c", script], expect=1, env=environment)
    assert done.stdout == ""
    assert done.stderr.startswith("Timeout (0:00:01)!")


def test_there_are_enough_cases_and_each_is_another():
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
