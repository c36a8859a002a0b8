"""The stage `ingest` writes the manifest of the chosen dataset version, or says in one line why not."""

import json

import pytest
import yaml
from support.projects import TINY_ENTRY, write_tiny_recordings

from pipeline.ingest.manifest import read_manifest
from pipeline.ingest.stage import ingest
from trackstack import UserError
from trackstack.core.params import Parameters

PARAMS = Parameters({"dataset": "tiny"})


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/raw/tiny"
    write_tiny_recordings(folder)
    catalog = {"datasets": {"tiny": TINY_ENTRY | {"description": "Ärzte"}}}
    (tmp_path / "data/catalog.yaml").write_text(yaml.safe_dump(catalog))
    return folder.relative_to(tmp_path)


def test_the_manifest_is_plain_json_that_is_read_back_and_names_no_absolute_path(raw, tmp_path):
    file = tmp_path / "out/manifest.json"
    ingest(PARAMS, raw, file)
    assert json.loads(file.read_text())["contract"]["classes"] == ["up", "down"]
    assert read_manifest(file).description == "Ärzte"
    assert str(tmp_path) not in file.read_text()


def test_the_path_in_the_catalog_is_the_one_that_dvc_reads(raw, tmp_path):
    expected = r"datasets\.tiny\.path is 'data/raw/tiny', but dvc\.yaml reads data/raw/other"
    with pytest.raises(UserError, match=expected):
        ingest(PARAMS, raw.with_name("other"), tmp_path / "manifest.json")


def test_nothing_is_written_when_a_file_is_wrong(raw, tmp_path):
    (raw / "subject_2.csv").write_bytes(b"")
    with pytest.raises(UserError, match=r"subject_2\.csv, line 1: no header"):
        ingest(PARAMS, raw, tmp_path / "manifest.json")
    assert not (tmp_path / "manifest.json").exists()


def test_an_edit_of_the_catalogs_entry_meanwhile_fails_the_stage(project, run):
    code = project / "src/pipeline/ingest/stage.py"
    edit = (
        "    catalog = Path('data/catalog.yaml')\n"
        "    catalog.write_text(catalog.read_text().replace('Four people', 'Some'))\n"
    )
    written = "    write_json(manifest_file"
    assert written in code.read_text()
    code.write_text(code.read_text().replace(written, edit + written))
    error = run(project, "env PYTHONPATH=src python -P stages/ingest.py data/raw/tiny out.json", expect=1).stderr
    assert error == "data/catalog.yaml: datasets.tiny: edited while the stage ran; run dvc repro again\n"
