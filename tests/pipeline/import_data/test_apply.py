"""What is written: files as they are or converted, and a catalog that keeps its bytes."""

import shutil
from pathlib import Path

import pytest
from support.projects import ROOT, write_reference
from support.tables import table, write
from typer.testing import CliRunner

from pipeline.contract.catalog import load_dataset
from pipeline.import_data.apply import write_entry, write_files
from pipeline.import_data.columns import ImportOptions, resolve_columns
from pipeline.import_data.contents.values import MissingWords
from pipeline.import_data.plan import make_plan
from pipeline.import_data.reading.dialect import DialectOptions, read_sample
from pipeline.import_data.survey import survey_files
from pipeline.ingest import file_notes, manifest
from pipeline.ingest.manifest import build_manifest
from trackstack.cli import app


def make_plan_for(path, label):
    samples = [read_sample(path, path.name, DialectOptions())]
    options, added = resolve_columns(ImportOptions(label), samples)
    return make_plan("mine", "", options, survey_files(samples, {label}, MissingWords.of()), added)


def test_a_plain_file_is_taken_byte_for_byte_and_its_original_stays(checkout, planned, tmp_path):
    path, _ = table("wine", tmp_path)
    plan = planned(path)
    assert plan["converted"] == []
    write_files(make_plan_for(path, "target"), tmp_path / "a checkout/data/raw")
    copied = checkout / "data/raw/wine.csv"
    assert copied.read_bytes() == path.read_bytes()
    assert copied.stat().st_ino != path.stat().st_ino, "a hard link would let an edit reach DVC's cache"


def test_converted_files_say_the_same_in_the_pipelines_words(checkout, tmp_path):
    text = "Zeit;ok;Wert;Art\n1;True; 1,5 ;Bär\n2;false;NA;Wolf, grau\n\n3;TRUE;-2e3;Bär\n"
    path = write(tmp_path / "own.csv", text, "cp1252")
    write_files(make_plan_for(path, "Art"), checkout)
    expected = 'Zeit,ok,Wert,Art\n1,1,1.5,Bär\n2,0,,"Wolf, grau"\n3,1,-2e3,Bär\n'
    assert (checkout / "own.csv").read_text() == expected


def test_the_catalog_keeps_its_bytes_and_yamls_traps_are_quoted(planned, tmp_path):
    before = Path("data/catalog.yaml").read_text()
    path = write(tmp_path / "own.csv", "no,b: c,y\n" + "1,2,yes\n3,4,no\n5,6,1e3\n" * 4)
    entry = planned(path, "--label", "y")["entry"]
    write_entry("mine", entry)
    after = Path("data/catalog.yaml").read_text()
    assert after.startswith(before + "\n  mine:\n")
    dataset = load_dataset("mine")
    assert (dataset.feature_names(), dataset.classes) == (["no", "b: c"], ("1e3", "no", "yes"))

    noted = after.replace("    label: y\n", "    label: y              # as the nurse saw it\n")
    Path("data/catalog.yaml").write_text(noted)
    write_entry("mine", {**entry, "num_samples": 24, "files": {"own.csv": 24}})
    expected = noted.replace("num_samples: 12", "num_samples: 24").replace("own.csv: 12", "own.csv: 24")
    assert Path("data/catalog.yaml").read_text() == expected


@pytest.mark.parametrize("link", ["copy", "hardlink", "symlink"])
def test_ingest_need_not_open_what_was_added(repository, run, tmp_path, monkeypatch, link):
    write_reference(repository)
    shutil.copy(ROOT / "pyproject.toml", repository)
    run(repository, f"dvc config cache.type {link}")
    monkeypatch.chdir(repository)
    monkeypatch.setattr(file_notes, "YOUNG_NS", -(10**15))
    path, _ = table("wine", tmp_path)
    (repository / "data/raw").mkdir()
    done = CliRunner().invoke(app, ["catalog", "add", str(path), "--name", "mine", "--label", "target", "--yes"])
    assert done.exit_code == 0, done.output
    assert Path("data/raw/mine/wine.csv").is_symlink() == (link == "symlink")
    monkeypatch.setattr(manifest, "open_csv", None)
    found = build_manifest("mine", load_dataset("mine"), Path("data/raw/mine"))
    assert found.num_samples == 178
