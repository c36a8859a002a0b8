"""The source of a run, as an archive holds it, and as a repository again."""

import os

import pytest
from support.projects import run_in

from trackstack import UserError
from trackstack.archive.export import source_of
from trackstack.archive.rerun import make_repository

ROWS = "1,2\n"
POINTER = "outs:\n- md5: 2b3b4d1c4e6bd7ef2dd2bbb0cf9d6ab6\n  size: 4\n  hash: md5\n  path: rows.csv\n"


def test_links_within_the_source_are_followed_and_what_is_left_out_is_named(tmp_path):
    (tmp_path / "code").mkdir()
    (tmp_path / "code/run.sh").write_text("echo\n")
    (tmp_path / "code/run.sh").chmod(0o755)
    (tmp_path / "back\\slash").write_text("")
    (tmp_path / "line\nend").write_text("")
    (tmp_path / os.fsdecode(b"\xff")).write_text("")
    (tmp_path / "code/größe.txt").symlink_to("../elsewhere")
    (tmp_path / "again").symlink_to("code")
    (tmp_path / "code/link.sh").symlink_to("run.sh")
    (tmp_path / "passwd").symlink_to("/etc/passwd")
    run_in(tmp_path, "git init -q -b main && git add -A && git commit -qm One")
    source = source_of(tmp_path, "HEAD")
    assert source.files == dict.fromkeys(["again/run.sh", "code/link.sh", "code/run.sh"], b"echo\n")
    assert source.programs == set(source.files)
    assert source.left_out == ["back\\slash", "code/größe.txt", "line\nend", "passwd", os.fsdecode(b"\xff")]


def test_data_at_the_top_come_into_a_cache_of_its_own_whatever_the_project_has_set(tmp_path):
    source = tmp_path / "archive/source"
    (source / ".dvc").mkdir(parents=True)
    (source / ".dvc/config").write_text(f"[cache]\n    dir = {tmp_path}/group\n")
    (source / "rows.csv.dvc").write_text(POINTER)
    (tmp_path / "archive/data").mkdir()
    (tmp_path / "archive/data/rows.csv").write_text(ROWS)
    origin, commit = make_repository(tmp_path / "archive", tmp_path / "origin")
    assert len(commit) == 40
    (kept,) = (path for path in (origin / ".dvc/cache/files/md5").rglob("*") if path.is_file())
    assert kept.read_text() == ROWS
    assert not (tmp_path / "group").exists()


def test_a_source_that_is_no_dvc_repository_leaves_nothing(tmp_path):
    (tmp_path / "archive/source").mkdir(parents=True)
    (tmp_path / "archive/source/a.py").write_text("")
    with pytest.raises(UserError, match="its source is no DVC repository"):
        make_repository(tmp_path / "archive", tmp_path / "origin")
    assert [path.name for path in tmp_path.iterdir()] == ["archive"]
