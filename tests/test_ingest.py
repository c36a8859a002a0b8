"""Ingest looks at files, headers and row counts, and says which file is wrong and what to type."""

import json

import pytest
from conftest import TINY_ENTRY, write_tiny_recordings

from trackstack import UserError
from trackstack.catalog import Dataset
from trackstack.digest import digest_file
from trackstack.ingest import Manifest, build_manifest, ingest

FILES = {f"subject_{subject}.csv": 120 for subject in range(1, 5)}


@pytest.fixture
def raw(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "data/raw/tiny"
    write_tiny_recordings(folder)
    return folder.relative_to(tmp_path)


def entry(**changes):
    return Dataset.model_validate(TINY_ENTRY | {"files": FILES} | changes)


def test_the_manifest_tells_what_was_found(raw, tmp_path):
    ingest("tiny", entry(), raw, tmp_path / "out/manifest.json")
    manifest = Manifest.model_validate_json((tmp_path / "out/manifest.json").read_text())
    assert manifest.num_samples == 480
    assert [file.name for file in manifest.files] == list(FILES)
    assert manifest.files[0].sha256 == digest_file(raw / "subject_1.csv")
    assert str(tmp_path) not in (tmp_path / "out/manifest.json").read_text()


def test_the_digest_follows_data_and_contract_and_not_the_description(raw):
    digest = build_manifest("tiny", entry(), raw).digest
    assert build_manifest("tiny", entry(description="other words"), raw).digest == digest
    assert build_manifest("tiny", entry(classes=["down", "up"]), raw).digest != digest
    file = raw / "subject_1.csv"
    file.write_text(file.read_text().replace("0.1", "0.2"))
    assert build_manifest("tiny", entry(), raw).digest != digest


def test_a_last_line_without_a_newline_counts(raw):
    file = raw / "subject_1.csv"
    file.write_text(file.read_text().rstrip("\n"))
    assert build_manifest("tiny", entry(), raw).num_samples == 480


def _rename_column(raw):
    file = raw / "subject_2.csv"
    file.write_text(file.read_text().replace("ay", "acc_y", 1))


def _cut_rows(raw):
    file = raw / "subject_2.csv"
    file.write_text("\n".join(file.read_text().splitlines()[:101]) + "\n")


BACK = "to go back: git checkout -- data/raw/tiny.dvc && dvc checkout --force data/raw/tiny.dvc"


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (
            lambda raw: (raw / "subject_2.csv").unlink(),
            f"data/raw/tiny/subject_2.csv: missing, expected a file of 120 rows; {BACK}",
        ),
        (
            _rename_column,
            "data/raw/tiny/subject_2.csv, line 1: no column 'ay'; found recording, subject, ax, acc_y, az, label; "
            + BACK,
        ),
        (
            _cut_rows,
            "data/raw/tiny/subject_2.csv: 100 rows, expected 120 (data/catalog.yaml); "
            f"{BACK}, or mend the catalog",
        ),
        (
            lambda raw: (raw / "subject_2.csv").write_text(""),
            "data/raw/tiny/subject_2.csv, line 1: no header, expected the columns "
            "subject, recording, ax, ay, az, label",
        ),
        (
            lambda raw: (raw / "notes.txt").write_text("hello"),
            "data/raw/tiny/notes.txt: not in data/catalog.yaml; "
            "list it under datasets.tiny.files or remove it",
        ),
        (
            lambda raw: (raw / "subject_2.csv").write_bytes(b"\xff\xfe\n"),
            "data/raw/tiny/subject_2.csv, line 1: the header is not UTF-8; save the file as UTF-8",
        ),
        (
            lambda raw: raw.rename("moved"),
            "data/raw/tiny: no such folder; type: dvc pull data/raw/tiny.dvc",
        ),
    ],
)
def test_data_that_breaks_the_contract_is_one_line(raw, tmp_path, damage, expected):
    damage(raw)
    with pytest.raises(UserError) as caught:
        ingest("tiny", entry(), raw, tmp_path / "manifest.json")
    assert str(caught.value) == expected
    assert not (tmp_path / "manifest.json").exists()


def test_an_unknown_column_is_named(raw):
    for file in raw.iterdir():
        file.write_text(file.read_text().replace("label\n", "label,note\n", 1))
    with pytest.raises(
        UserError, match=r"subject_1\.csv, line 1: column 'note' is not in data/catalog\.yaml"
    ):
        build_manifest("tiny", entry(), raw)


def test_without_a_list_of_files_the_total_is_checked(raw):
    (raw / "subject_4.csv").unlink()
    with pytest.raises(UserError, match="360 rows in 3 files, expected 480"):
        build_manifest("tiny", entry(files=None), raw)


def test_the_path_in_the_catalog_is_the_one_that_dvc_reads(raw, tmp_path):
    with pytest.raises(
        UserError, match=r"datasets\.tiny\.path is 'data/raw/other', but dvc\.yaml reads data/raw/tiny"
    ):
        ingest("tiny", entry(path="data/raw/other"), raw, tmp_path / "manifest.json")


def test_the_manifest_is_plain_json(raw, tmp_path):
    ingest("tiny", entry(), raw, tmp_path / "manifest.json")
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert content["contract"]["classes"] == ["up", "down"]
