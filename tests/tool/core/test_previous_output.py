"""A stage finds what it put out last time by dvc.lock, in DVC's cache, as long as its code is the same."""

import shutil
from pathlib import Path

import pytest
from dvc.repo import Repo

from trackstack.core.previous_output import previous_output

OUT = Path("out")
STAGES = """stages:
  make:
    cmd: mkdir -p out/parts && cat given.txt > out/parts/a && echo b > out/b
    deps: [given.txt, src]
    outs: [out]
"""


@pytest.fixture
def repo(tmp_path, monkeypatch):
    """A DVC repository in which the stage `make` ran, and runs again: DVC has just deleted what it put out."""
    for name in ("DVC_ROOT", "DVC_EXP_NAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "src").mkdir()
    for file, text in {"given.txt": "one", "src/code.py": "1", "dvc.yaml": STAGES}.items():
        (tmp_path / file).write_text(text)
    with Repo.init(no_scm=True) as made:
        with made.config.edit() as config:
            config["cache"]["type"] = "hardlink"
        made.reproduce()
    shutil.rmtree(OUT)
    monkeypatch.setenv("DVC_STAGE", "make")
    return tmp_path


def test_files_are_found_in_the_cache_and_taken_as_links_of_the_kind_that_dvc_makes(repo):
    previous = previous_output(OUT)
    assert previous.names() == ["b", "parts/a"]
    assert previous.names("parts/") == ["parts/a"]
    cached = previous.find("parts/a")
    assert cached.read_text() == "one"
    assert previous.take("parts/a", Path("taken"))
    assert Path("taken").samefile(cached)
    assert previous.find("c") is None
    assert not previous.take("c", Path("other"))


def test_where_no_link_can_be_made_the_bytes_are_copied(repo):
    previous = previous_output(OUT)
    previous._link_types = ("reflink", "symlink")  # the first not on this file system, the other never
    assert previous.take("b", Path("taken"))
    assert Path("taken").read_text() == "b\n"
    assert not Path("taken").is_symlink()


def test_other_data_is_no_reason_to_forget_but_other_code_is(repo):
    Path("given.txt").write_text("two")
    assert previous_output(OUT).names()
    Path("src/code.py").write_text("2")
    assert not previous_output(OUT).names()


def test_what_the_cache_lacks_is_not_found(repo):
    previous = previous_output(OUT)
    previous.find("b").unlink()
    assert previous.find("b") is None
    assert not previous.take("b", Path("taken"))
    assert previous.find("parts/a")
    shutil.rmtree(repo / ".dvc/cache")
    assert not previous_output(OUT).names()


@pytest.mark.parametrize("lock", [None, "", "schema: '2.0'\nstages: {}\n", "stages: [\n"])
def test_without_a_lock_or_with_a_damaged_one_there_is_nothing(repo, lock):
    Path("dvc.lock").unlink() if lock is None else Path("dvc.lock").write_text(lock)
    assert not previous_output(OUT).names()


def test_outside_of_a_stage_of_dvc_there_is_nothing(repo, monkeypatch):
    assert not previous_output(Path("other")).names()
    monkeypatch.delenv("DVC_STAGE")
    assert not previous_output(OUT).names()
