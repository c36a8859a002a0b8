"""A run as one file: valid by the standards' own readers, the same bytes each time, made again in an empty folder."""

import json
import zipfile

import pytest
import yaml
from support.foreign import build_linear, foreign_environment
from support.projects import run_in
from support.shared import built_once

from trackstack.archive.export import export_run
from trackstack.archive.manifest import unpack_archive, verify_archive

MEASURED = "x,y,label\n" + "".join(f"{x},{-x},{x % 2}\n" for x in range(20))


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """A repository with data that DVC tracks, a run of it, and its archive; only to be read."""

    def build(place):
        build_linear(place / "a project")
        project = place / "a project"
        (project / "measured").mkdir()
        (project / "measured/rows.csv").write_text(MEASURED)
        (project / "prepare.py").write_text(
            (project / "prepare.py").read_text() + "\nopen('measured/rows.csv').read()\n"
        )
        content = yaml.safe_load((project / "dvc.yaml").read_text())
        content["stages"]["prepare"]["deps"].append("measured")
        (project / "dvc.yaml").write_text(yaml.safe_dump(content, sort_keys=False))
        (project / "CITATION.cff").write_text(
            "title: Lines\nlicense: MIT\nauthors: [{family-names: Doe, given-names: Jo}]\n"
        )
        (project / "prepare.py").chmod(0o755)
        run_in(project, "dvc add -q measured && dvc repro", env=foreign_environment())
        run = next(path.name for path in (project / "runs").glob("r*"))
        (place / "run").write_text(run)
        with_data = f"trackstack runs export {run} --with-data --out '{place}/with.zip'"
        run_in(project, with_data, env=foreign_environment())

    return built_once(tmp_path_factory, "exported", build)


@pytest.fixture
def project(exported, monkeypatch):
    """That repository as the working folder; only to be read."""
    monkeypatch.chdir(exported / "a project")
    return exported / "a project"


@pytest.fixture
def unpacked(exported, tmp_path):
    """The archive's files."""
    unpack_archive(exported / "with.zip", tmp_path / "unpacked")
    return tmp_path / "unpacked"


def test_the_same_run_gives_the_same_bytes(exported, project, tmp_path):
    export_run((exported / "run").read_text(), project, project, tmp_path / "again.zip", with_data=True)
    assert (tmp_path / "again.zip").read_bytes() == (exported / "with.zip").read_bytes()


def test_it_holds_source_record_lock_parameters_metrics_and_what_people_read(exported):
    names = set(verify_archive(exported / "with.zip"))
    run = (exported / "run").read_text()
    assert {
        "README.md",
        "CITATION.cff",
        ".zenodo.json",
        "croissant.json",
        "model-card.md",
        "requirements.txt",
    } <= names
    assert {"dvc.lock", "parameters.json", "metrics.json", "environment.json", "ro-crate-metadata.json"} <= names
    assert {"source/dvc.yaml", "source/train.py", "data/measured/rows.csv", f"record/{run}/journal-1.jsonl"} <= names


def test_without_the_data_only_their_digests_are_in_it(exported, project, tmp_path):
    export_run((exported / "run").read_text(), project, project, tmp_path / "without.zip", with_data=False)
    names = verify_archive(tmp_path / "without.zip")
    assert not [name for name in names if name.startswith("data/")]
    assert "source/measured.dvc" in names


def test_no_host_and_no_path_of_a_machine_is_in_what_is_written_for_it(exported):
    with zipfile.ZipFile(exported / "with.zip") as archive:
        written = b"".join(archive.read(name) for name in archive.namelist() if "/" not in name)
        environment = json.loads(archive.read("environment.json"))
    assert str(exported).encode() not in written
    assert "host" not in environment


def test_the_crate_is_read_by_rocrate_with_an_action_for_each_stage(unpacked):
    from rocrate.rocrate import ROCrate  # each a second, in every process that collects this

    crate = ROCrate(str(unpacked))
    assert crate.mainEntity.id == "source/dvc.yaml"
    actions = {entity["name"]: entity for entity in crate.get_by_type("CreateAction")}
    assert {"prepare", "train"} <= set(actions)
    assert [entity.id for entity in actions["train"]["result"]] == ["#model.json"]
    values = {
        entity["name"]: entity["value"] for entity in actions["train"]["object"] if entity.type == "PropertyValue"
    }
    assert values["params.json.train.lr"] == 0.1
    graph = json.loads((unpacked / "ro-crate-metadata.json").read_text())["@graph"]
    identities = [entity["@id"] for entity in graph]
    assert len(set(identities)) == len(identities)
    for entity in graph:
        for value in entity.values():
            for part in value if isinstance(value, list) else [value]:
                is_own = isinstance(part, dict) and not part["@id"].startswith("http")
                assert not is_own or part["@id"] in identities, part


def test_the_dataset_is_read_by_mlcroissant(unpacked):
    import mlcroissant

    metadata = mlcroissant.Dataset(str(unpacked / "croissant.json")).metadata
    assert not metadata.ctx.issues.errors
    assert [entry.id for entry in metadata.distribution] == ["measured"]


def test_citation_and_zenodo_name_the_project_s_authors(unpacked):
    citation = yaml.safe_load((unpacked / "CITATION.cff").read_text())
    assert (citation["license"], citation["authors"][0]["family-names"]) == ("MIT", "Doe")
    assert json.loads((unpacked / ".zenodo.json").read_text())["creators"] == [{"name": "Doe, Jo"}]


def test_it_is_made_again_in_an_empty_folder_by_somebody_without_a_home(exported, tmp_path):
    command = ["trackstack", "reproduce", str(exported / "with.zip"), "--json"]
    (tmp_path / "empty").mkdir()
    done = run_in(tmp_path / "empty", command, env=foreign_environment())
    verdict = json.loads(done.stdout)
    assert verdict["verdict"] == "identical"
    assert [stage["stage"] for stage in verdict["stages"]] == ["prepare", "train"]
    assert not list((tmp_path / "empty").iterdir())
