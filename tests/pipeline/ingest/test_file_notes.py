"""A raw file that did not change is not read again; one that may have changed is."""

import functools
import os
import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo
from support.conversion import GOOD, HEADER, entry, write_bytes, write_csv
from support.projects import run_in

from pipeline.ingest import file_notes, manifest
from pipeline.ingest.file_notes import FileNotes, is_same_content
from pipeline.ingest.manifest import build_manifest
from trackstack import UserError
from trackstack.core.files import write_json

CONTENT = f"{HEADER}\n{GOOD}\n"


@pytest.fixture
def raw(tmp_path, monkeypatch):
    (tmp_path / ".dvc").mkdir()
    monkeypatch.chdir(tmp_path)
    return write_csv(tmp_path / "raw", GOOD)


@pytest.fixture
def read(monkeypatch):
    """The files that are read to their ends."""
    names = []
    count_rows = manifest.count_rows

    def count(stream, header):
        names.append(header)
        return count_rows(stream, header)

    monkeypatch.setattr(manifest, "count_rows", count)
    return names


def ages(monkeypatch):
    monkeypatch.setattr(file_notes, "YOUNG_NS", -(10**15))


def test_a_file_that_did_not_change_is_read_once(raw, read, monkeypatch):
    ages(monkeypatch)
    found = [build_manifest("tiny", entry(1), raw) for _ in range(3)]
    assert found[0] == found[1] == found[2]
    assert len(read) == 1


def test_a_young_file_is_read_again(raw, read):
    for _ in range(2):
        build_manifest("tiny", entry(1), raw)
    assert len(read) == 2


def test_a_file_that_is_known_is_not_opened_and_its_header_is_compared_all_the_same(raw, monkeypatch):
    ages(monkeypatch)
    found = build_manifest("tiny", entry(1), raw)
    monkeypatch.setattr(manifest, "open_csv", None)
    assert build_manifest("tiny", entry(1), raw) == found
    with pytest.raises(UserError, match=r"a\.csv, line 1: no column 'ax2'"):
        build_manifest("tiny", entry(1, features=[{"name": "ax2"}]), raw)


def test_a_file_keeps_its_content_when_it_is_renamed_linked_or_protected_and_not_when_it_is_written(raw):
    file = raw / "a.csv"
    before = FileNotes.identify(file)
    file = file.rename(raw / "b.csv")
    os.link(file, raw / "c.csv")
    file.chmod(0o444)
    assert is_same_content(before, FileNotes.identify(file))
    rewrite(raw / "c.csv")
    assert not is_same_content(before, FileNotes.identify(file))
    assert not is_same_content(before, FileNotes.identify(raw / "nothing"))


def rewrite(file):
    file.write_text(CONTENT.replace("0.5", "0.6"))


def replace(file):
    file.with_name("other").write_text(CONTENT.replace("0.5", "0.6"))
    file.with_name("other").replace(file)


@pytest.mark.parametrize("change", [rewrite, replace])
def test_a_change_is_seen_even_with_size_and_time_of_the_file_before(raw, read, monkeypatch, change):
    ages(monkeypatch)
    before = build_manifest("tiny", entry(1), raw)
    file = raw / "a.csv"
    times = file.stat().st_atime_ns, file.stat().st_mtime_ns
    change(file)
    os.utime(file, ns=times)
    assert build_manifest("tiny", entry(1), raw) != before
    assert len(read) == 2


def test_notes_that_are_damaged_or_of_other_code_are_made_anew(raw, read, monkeypatch, tmp_path):
    ages(monkeypatch)
    build_manifest("tiny", entry(1), raw)
    notes = tmp_path / file_notes.NOTES
    text = notes.read_text()
    for damaged in (text[:-20], text.replace("a.csv", "b.csv"), "[]"):
        notes.write_text(damaged)
        build_manifest("tiny", entry(1), raw)
    assert len(read) == 4


STAGE = """stages:
  ingest:
    cmd: python make.py
    deps: [raw]
    outs:
      - manifest.json: {cache: false}
"""


def test_in_a_clone_only_files_that_dvc_does_not_know_to_be_those_of_the_last_commit_are_read(
    tmp_path, monkeypatch, read
):
    monkeypatch.chdir(tmp_path)
    for name in ("DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    ages(monkeypatch)
    for name in ("a.csv", "b.csv"):
        write_bytes(tmp_path / "raw", CONTENT.encode(), name)
    run_in(tmp_path, "git init -q && dvc init -q && dvc add -q raw")
    (tmp_path / "dvc.yaml").write_text(STAGE)
    build = functools.partial(build_manifest, "tiny", raw=Path("raw"), earlier=Path("manifest.json"))
    before = build(entry(2))
    write_json(Path("manifest.json"), before.model_dump(mode="json"))
    with Repo() as repo:
        repo.commit("ingest", force=True)
    run_in(tmp_path, "git add -A && git commit -qm ingested")
    monkeypatch.setenv("DVC_STAGE", "ingest")

    shutil.rmtree(".dvc/tmp/trackstack")  # as in a clone
    read.clear()
    assert build(entry(2)) == before
    assert read == []

    shutil.rmtree(".dvc/tmp/trackstack")
    Path("raw/b.csv").unlink()
    write_bytes(tmp_path / "raw", f"{CONTENT}{GOOD}\n".encode(), "b.csv")
    assert [file.rows for file in build(entry(3)).files] == [1, 2]
    assert len(read) == 1
