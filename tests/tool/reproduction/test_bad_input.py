"""What cannot be reproduced is refused in a line that says what to do."""

import shutil

import pytest

from trackstack import UserError
from trackstack.records.query import find_run
from trackstack.reproduction.reproduce import Options, reproduce
from trackstack.tracking.journal import Journal


def line_for(root, key, home=None, **options):
    with pytest.raises(UserError) as refused:
        reproduce(key, home or root, root, Options(**options), print)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def copied_run(linear, home, **start):
    """The record of the run in another home, with a start that differs."""
    series = find_run(linear, "r").series
    journal = Journal(home / "runs" / series.run)
    journal.write(series.start | start)
    journal.write({"type": "end", "time": 1.0, "status": "finished", "error": None})
    journal.close()
    return series.run


def test_an_unknown_run_without_a_remote(linear):
    assert "no such run" in line_for(linear, "nobody")


def test_a_run_that_was_no_stage(linear, tmp_path):
    run = copied_run(linear, tmp_path, upstream=None)
    assert "no stage of a dvc.yaml recorded it" in line_for(linear, run, tmp_path)


def test_a_run_whose_source_git_does_not_have(linear, tmp_path):
    run = copied_run(linear, tmp_path, tags={"source": "0" * 40})
    assert line_for(linear, run, tmp_path).endswith(f"type: trackstack pull {run}")


def test_a_run_of_which_no_source_was_kept(linear, tmp_path):
    run = copied_run(linear, tmp_path, tags={"git_commit": "0" * 40, "git_dirty": "true"})
    assert "its source was not kept" in line_for(linear, run, tmp_path)


def test_a_folder_that_holds_something_else(linear, tmp_path):
    (tmp_path / "thesis.tex").write_text("")
    assert "is there already" in line_for(linear, "r", folder=tmp_path)
    assert (tmp_path / "thesis.tex").exists()


def test_a_stage_that_does_not_exist(linear, tmp_path):
    line = line_for(linear, "r", stage="trian", folder=tmp_path / "new")
    assert line == "trian: no such stage at the run's source; expected one of prepare, train, evaluate"


def test_a_stage_behind_the_run_is_made_again_alone_on_what_the_run_put_out(linear, tmp_path):
    home = tmp_path / "home"
    copied = shutil.copytree(linear, tmp_path / "somebody's", symlinks=True)
    shutil.copytree(linear / "runs", home / "runs")
    verdict = reproduce("r", home, copied, Options(stage="evaluate", folder=tmp_path / "again"), print)
    assert [stage["stage"] for stage in verdict["stages"]] == ["evaluate"]
    assert verdict["verdict"] == "not recorded", "evaluate is behind the run, which does not know what it put out"
    again = tmp_path / "again/repository"
    assert (again / "model.json").read_bytes() == (linear / "model.json").read_bytes()
    assert (again / "metrics.json").read_bytes() == (linear / "metrics.json").read_bytes()
