"""The exact source of a run, however short before it was edited."""

import os

from support.projects import run_in

from trackstack.system.git import git
from trackstack.tracking.snapshot import keep_source


def test_an_edit_of_the_same_size_in_the_same_second_is_kept(tmp_path, monkeypatch):
    """As after `dvc exp run --set-param`: git itself takes the file for unchanged."""
    params = tmp_path / "params.yaml"
    params.write_text("lr: 1\n")
    os.utime(params, (1e9, 1e9))
    run_in(tmp_path, "git init -q -b main && git config core.trustctime false && git add -A && git commit -qm One")
    params.write_text("lr: 4\n")
    os.utime(params, (1e9, 1e9))
    assert not git(tmp_path, "status", "--porcelain", "--untracked-files=no")
    monkeypatch.chdir(tmp_path)
    commit = keep_source("r1", tmp_path)
    assert git(tmp_path, "show", f"{commit}:params.yaml") == "lr: 4"
