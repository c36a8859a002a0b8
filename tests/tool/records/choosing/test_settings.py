"""Which runs have the same settings, and which parameters are averaged over."""

import math

import pytest
from support.choosing import FIGURES, ranked, write_run, write_trial
from support.projects import TINY_PARAMS

from trackstack import UserError
from trackstack.records.choosing.settings import averaged_params, read_candidates


def test_what_follows_from_the_parameters_of_dvc_tells_no_settings_apart(tmp_path):
    for fold in range(2):
        write_trial(tmp_path, 0.1, 0, fold, FIGURES)
    ((runs, *_),), _ = ranked(tmp_path, over="tensor_cache.fold")
    assert len(runs) == 2
    with pytest.raises(UserError, match=r"--over tensor_cache.test: runs are not told apart by it; it follows from"):
        ranked(tmp_path, over="tensor_cache.test")


def test_what_a_run_recorded_beside_the_parameters_of_dvc_tells_settings_apart(tmp_path):
    for depth in (3, 4):
        upstream = {"stage": "train", "deps": [], "params": {"params.yaml": {"lr": 0.1}}, "stages": {}, "data": []}
        write_run(tmp_path, {"depth": depth}, FIGURES, upstream=upstream)
    settings, notes = ranked(tmp_path)
    assert (len(settings), notes) == (2, [])


def test_scripts_outside_of_dvc_are_told_apart_by_their_own_parameters_and_name(tmp_path):
    for name in ("linear", "forest"):
        for seed in range(2):
            write_run(tmp_path, {"lr": 0.1, "seed": seed}, FIGURES, name=name, stage="run")
    settings, _ = ranked(tmp_path)
    assert [len(runs) for runs, *_ in settings] == [2, 2]


def test_a_scripts_short_name_of_a_parameter_means_that_of_dvc(tmp_path):
    for seed in range(2):
        upstream = {
            "stage": "t",
            "deps": [],
            "params": {"p.json": {"train": {"seed": seed}}},
            "stages": {},
            "data": [],
        }
        write_run(tmp_path, {"seed": seed}, FIGURES, upstream=upstream)
    settings, _ = ranked(tmp_path, over="seed")
    assert [len(runs) for runs, *_ in settings] == [2]


def test_runs_of_other_data_or_another_stage_are_another_setting(tmp_path):
    write_trial(tmp_path, 0.1, 0, 0, FIGURES)
    write_trial(tmp_path, 0.1, 1, 0, FIGURES, md5="another.dir")
    write_run(tmp_path, {"train": {"lr": 0.1}}, FIGURES, stage="tune")
    settings, _ = ranked(tmp_path)
    assert [len(runs) for runs, *_ in settings] == [1, 1, 1]


def test_whole_numbers_and_their_floats_are_one_setting(tmp_path):
    for seed, lr in enumerate((1, 1.0)):
        write_trial(tmp_path, lr, seed, 0, FIGURES)
    settings, _ = ranked(tmp_path)
    assert [len(runs) for runs, *_ in settings] == [2]


def test_of_equal_settings_the_newest_counts_and_the_others_are_said(tmp_path):
    older = write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": 0.1}, run="r000000000001")
    newer = write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": 0.5}, run="r000000000002")
    settings, notes = ranked(tmp_path)
    assert settings == [([newer], 0.5, None)]
    assert notes == [f"left out: {older}: {newer} is newer and has the same parameters, from other code or data"]


def test_a_run_that_came_out_differently_when_it_was_executed_again_counts_twice(tmp_path):
    for accuracy in (0.1, 0.5):
        run = write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": accuracy}, run="r000000000001")
    settings, notes = ranked(tmp_path)
    assert settings == [([run, f"{run}-2"], pytest.approx(0.3), pytest.approx(0.4 / math.sqrt(2)))]
    assert notes == []


def test_what_dvc_and_a_real_run_recorded_becomes_its_settings(tiny_project):
    (run,), notes = read_candidates(tiny_project)
    assert notes == []
    assert run.settings["tensor_cache.fold"] == 0
    assert run.settings["train.epochs"] == TINY_PARAMS["train"]["epochs"]
    assert run.settings["tensor_cache.window"] is None
    assert run.params["tensor_cache.window"] is not None, "the run knows the dataset's"
    assert len(run.settings["data/raw/tiny"]) == 10
    assert averaged_params([run], None) == ["tensor_cache.fold", "train.seed"]
    assert "tensor_cache.test" in run.params.keys() - run.settings.keys()


def test_a_record_that_was_rebuilt_from_dvcs_has_the_same_settings(tmp_path):
    original = write_trial(tmp_path, 0.1, 1, 0, FIGURES)
    (lost,), _ = read_candidates(tmp_path)
    upstream = lost.series.start["upstream"]
    raw, cache = upstream["data"], [{"path": "data/cache"}]
    stages = {
        "tensor_cache": upstream["stages"]["tensor_cache"] | {"deps": raw, "outs": cache},
        "train": {"params": upstream["params"], "deps": cache, "outs": [{"path": "results/model"}]},
        "evaluate": {"params": {"params.yaml": {"evaluate": {"bins": 10}}}, "deps": [{"path": "results/model"}]},
    }
    upstream = {"stage": "train", "deps": [], "params": {}, "stages": stages, "data": []}
    rebuilt = write_run(tmp_path, {"evaluate": {"bins": 10}}, FIGURES, upstream=upstream, tags={"rebuilt": "true"})
    (run,), (note,) = read_candidates(tmp_path)
    assert (run.key, run.settings) == (rebuilt, lost.settings)
    assert note.startswith(f"left out: {original}: {rebuilt} is newer and has the same parameters")
