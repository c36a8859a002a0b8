"""Damaged notes of a sweep: the line names the file, the other trials are shown, and the same command goes on."""

import dataclasses

import pytest
from support.damage import DAMAGES, damaged

from trackstack import UserError
from trackstack.cluster.sweep import SHARED, Sweep, Trial, TrialStatus, load_sweep
from trackstack.core.files import sealed, write_json

FAILED = TrialStatus("failed", "the loss is nan", 2, None, "r1", 3.5)


@pytest.fixture
def sweep(tmp_path):
    trials = [Trial("one-1", ["lr=1"]), Trial("one-2", ["lr=2"])]
    sweep = Sweep(tmp_path / "one", tmp_path, "c0ffee", trials, 3, {"train": {}}, ["prepare"], tmp_path / "cache")
    sweep.save()
    for name in (SHARED, *(trial.name for trial in trials)):
        sweep.write(name, FAILED)
    return sweep


def test_what_is_whole_is_read_as_it_was_written(sweep):
    assert load_sweep(sweep.folder) == sweep
    assert sweep.status("one-1") == FAILED


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_note_of_a_trial_makes_it_go_on_and_hides_no_other(sweep, how):
    note = sweep.folder / "trials/one-1.json"
    with damaged(note, how, sweep.folder):
        found = sweep.status("one-1")
        assert sweep.status("one-2") == FAILED
    if how == "missing":
        assert found == TrialStatus()
    else:
        assert dataclasses.replace(found, reason="") == TrialStatus("interrupted")
        assert found.reason.startswith(f"{note}: ")
        assert found.reason.endswith("; the sweep's command typed again writes it anew")


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_sweep_is_one_line_and_not_taken_for_saved(sweep, how):
    file = sweep.folder / "sweep.json"
    with damaged(file, how, sweep.folder):
        assert not sweep.is_saved()
        with pytest.raises((UserError, FileNotFoundError)) as caught:
            load_sweep(sweep.folder)
    assert str(file) in str(caught.value)
    assert sweep.is_saved()


def test_a_damaged_submission_starts_no_trial_twice(sweep):
    file = sweep.folder / "submissions/12.json"
    write_json(file, sealed({"shared": "12", "arrays": {"13": [["one-1"]]}}))
    assert sweep.submissions() == [{"shared": "12", "arrays": {"13": [["one-1"]]}}]
    with (
        damaged(file, "cut", sweep.folder),
        pytest.raises(UserError, match=r"12\.json: damaged .*; remove it when squeue shows none of its jobs"),
    ):
        sweep.tasks()
