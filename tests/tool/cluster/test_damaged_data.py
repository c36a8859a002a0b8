"""Data that a disk has damaged without a word to DVC: found, removed from its cache, and made again by what is typed."""

import hashlib
import os

import pytest
from support.projects import run_in

from trackstack import UserError
from trackstack.cluster.damaged_data import discard_damaged
from trackstack.cluster.jobs import pull_raw_data

STAGE = """
stages:
  count:
    cmd: mkdir -p data/counted && seq 900 > data/counted/many.txt && seq 9 > data/counted/few.txt
    outs: [data/counted]
"""


@pytest.fixture
def counted(tmp_path, monkeypatch):
    """A stage that has run and a tracked file, both linked to DVC's cache."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "dvc.yaml").write_text(STAGE)
    (tmp_path / "raw.txt").write_text("12345")
    dvc = "dvc init -q && dvc config cache.type hardlink && dvc config core.analytics false"
    run_in(tmp_path, f"git init -q && {dvc} && dvc add -q raw.txt && dvc repro -q && git add .")
    return tmp_path


def cached(project, file):
    value = hashlib.md5(file.read_bytes()).hexdigest()
    return project / ".dvc/cache/files/md5" / value[:2] / value[2:]


def rot(file):
    """Flip a bit as a disk does: no time changes, and every link of the file has it."""
    content, times = bytearray(file.read_bytes()), file.stat()
    content[len(content) // 2] ^= 1
    file.chmod(0o644)
    file.write_bytes(content)
    file.chmod(0o444)
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_what_dvc_would_give_back_again_is_removed_and_made_anew(counted):
    many = counted / "data/counted/many.txt"
    whole, few = many.read_bytes(), counted / "data/counted/few.txt"
    rot(cached(counted, many))
    assert many.read_bytes() != whole
    assert list(discard_damaged([counted / "raw.txt"])) == []
    (line,) = discard_damaged([counted / "data"])
    assert line == f"{many}: damaged in DVC's cache, and removed there; type: dvc repro --force count"
    assert not many.exists()
    assert few.exists()
    run_in(counted, line.split("; type: ")[1])
    assert many.read_bytes() == whole
    assert list(discard_damaged([counted / "data"])) == []


def test_a_whole_copy_and_an_edit_are_left_here(counted):
    raw = counted / "raw.txt"
    damaged = cached(counted, raw)
    copy = raw.read_bytes()
    raw.unlink()
    raw.write_bytes(copy)
    rot(damaged)
    (line,) = discard_damaged([raw])
    command = line.split("; type: ")[1].split(", since")[0]
    assert command == "dvc commit --force raw.txt"
    run_in(counted, command)
    assert damaged.read_bytes() == raw.read_bytes() == copy
    run_in(counted, "dvc unprotect raw.txt")
    raw.write_text("edited")
    rot(damaged)
    (line,) = discard_damaged([raw])
    assert line.endswith("; type: dvc pull raw.txt")
    assert raw.read_text() == "edited"


def test_a_path_that_dvc_does_not_know_and_a_damaged_pointer_are_no_traceback(counted):
    with pytest.raises(UserError, match="Unable to find DVC file with output"):
        list(discard_damaged([counted / "nothing"]))
    pointer = counted / "raw.txt.dvc"
    for text in ("outs: [{pbth: raw.txt}]\n", "[]\n", "outs: 5\n"):
        pointer.write_text(text)
        pull_raw_data(counted)
