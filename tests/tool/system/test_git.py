"""Git as it answers, in real repositories."""

import os

import pytest

from trackstack import UserError
from trackstack.system.git import git, try_git

ODD_NAME = os.fsdecode(b"sensor \xff\nb.csv")


@pytest.fixture
def repository(tmp_path):
    git(tmp_path, "init", "-q", "-b", "main")
    (tmp_path / ODD_NAME).write_text("1")
    return tmp_path


def test_the_output_comes_without_its_line_end_and_names_survive_as_bytes(repository):
    assert git(repository, "symbolic-ref", "HEAD") == "refs/heads/main"
    (name,) = filter(None, git(repository, "ls-files", "-z", "--others").split("\0"))
    assert name == ODD_NAME
    git(repository, "update-index", "-z", "--add", "--stdin", stdin=name)
    assert git(repository, "ls-files", "-z") == f"{ODD_NAME}\0"


def test_a_commit_needs_no_address_of_the_person(repository, monkeypatch):
    for name in [name for name in os.environ if name.startswith("GIT_") or name == "EMAIL"]:
        monkeypatch.delenv(name)
    nobody = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
    git(repository, "commit", "-q", "--allow-empty", "-m", "x", env=nobody)
    assert git(repository, "log", "--format=%ae", env=nobody).endswith("@localhost")


def test_a_complaint_is_one_line_or_none(repository, tmp_path):
    with pytest.raises(UserError) as caught:
        git(repository, "rev-parse", "HEAD")
    assert str(caught.value).startswith(f"{repository}: git rev-parse: fatal: ambiguous argument 'HEAD'")
    assert "\n" not in str(caught.value)
    with pytest.raises(UserError, match=r"no such folder$"):
        git(tmp_path / "missing", "status")
    assert try_git(repository, "rev-parse", "HEAD") is None


def test_no_git_at_all_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError, match=r"^git: not found; install it"):
        git(tmp_path, "status")
    assert try_git(tmp_path, "status") is None


def test_a_persons_namespace_patterns_and_protocols_change_nothing(tmp_path, monkeypatch):
    own = {"GIT_NAMESPACE": "other", "GIT_LITERAL_PATHSPECS": "1", "GIT_EXTERNAL_DIFF": "false"}
    for name, value in (own | {"GIT_ALLOW_PROTOCOL": "https", "GIT_DEFAULT_HASH": "sha256"}).items():
        monkeypatch.setenv(name, value)
    git(tmp_path, "init", "-q", "here")
    here = tmp_path / "here"
    (here / "dvc.lock").write_text("a")
    git(here, "add", "-A")
    git(here, "commit", "-qm", "x")
    (here / "dvc.lock").write_text("b")
    assert git(here, "ls-files", ":(glob)**/dvc.lock") == "dvc.lock"
    assert "+b" in git(here, "diff")
    git(tmp_path, "clone", "-q", f"file://{here}", "there")
    git(tmp_path / "there", "push", "-q", "origin", "HEAD:refs/exps/x")
    assert len(git(here, "rev-parse", "refs/exps/x")) == 40
