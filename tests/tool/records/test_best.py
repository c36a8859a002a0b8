"""Settings ranked, by what was recorded of their runs."""

import json
import math
import sqlite3
import statistics
from collections import defaultdict

import pytest
from support.choosing import write_run, write_sweep, write_trial
from support.recording import trackstack

from trackstack import UserError
from trackstack.records.best import differing, is_lower_better, rank, summarise
from trackstack.records.selection import select_runs
from trackstack.records.settings import averaged_params

FIGURES = {"val_accuracy": 0.5}


def ranked(home, metric="val_accuracy", over=None, where=None):
    """Run ids, mean and sd of each setting, and the notes."""
    selection = select_runs(home, metric, where)
    settings = rank(selection.runs, metric, averaged_params(selection.runs, over), is_lower_better(metric))
    return [([run.key for run in one.runs], *one.figure) for one in settings], selection.notes


def test_the_ranking_of_twelve_trials_is_that_of_sqlite(tmp_path):
    runs = write_sweep(tmp_path)
    trackstack(tmp_path, "sync")
    answer = json.loads(trackstack(tmp_path, "runs", "best", "--by", "val_accuracy", "--json"))
    connection = sqlite3.connect(tmp_path / "project.db")
    rows = connection.execute(
        "SELECT json_extract(config, '$.train.lr'), run_key, value FROM runs JOIN points ON runs.id = run_id "
        "WHERE metric = 'val_accuracy' AND epoch = 1"
    ).fetchall()
    connection.close()
    by_hand = defaultdict(dict)
    for lr, run, value in rows:
        by_hand[lr][run] = value
    assert {lr: len(values) for lr, values in by_hand.items()} == {0.001: 6, 0.003: 6}
    expected = sorted(by_hand.items(), key=lambda item: -statistics.mean(item[1].values()))
    assert [row["params"] for row in answer["settings"]] == [{"train.lr": lr} for lr, _ in expected]
    assert [set(row["run_ids"]) for row in answer["settings"]] == [set(values) for _, values in expected]
    for row, (_, values) in zip(answer["settings"], expected, strict=True):
        assert row["mean"] == pytest.approx(statistics.mean(values.values()))
        assert row["sd"] == pytest.approx(statistics.stdev(values.values()))
    assert set(runs) == {run for row in answer["settings"] for run in row["run_ids"]}
    assert answer["over"] == ["tensor_cache.fold", "train.seed"]
    assert "test_accuracy" not in json.dumps(answer)


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


@pytest.mark.parametrize("figure", [math.nan, math.inf])
def test_a_setting_with_a_run_that_diverged_is_last(tmp_path, figure):
    bad = write_trial(tmp_path, 0.5, 0, 0, {"val_loss": figure})
    good = write_trial(tmp_path, 0.1, 0, 0, {"val_loss": 9.0})
    settings, _ = ranked(tmp_path, "val_loss")
    assert [runs for runs, *_ in settings] == [[good], [bad]]
    answer = trackstack(tmp_path, "runs", "best", "--by", "val_loss")
    assert f"{bad}: val_loss is {figure}, so its mean is no number, and ranks last\n" in answer


def test_only_runs_that_are_meant_finished_and_whole_count(tmp_path):
    kept = write_trial(tmp_path, 0.1, 0, 0, FIGURES)
    write_trial(tmp_path, 0.2, 0, 0, FIGURES)
    write_trial(tmp_path, 0.3, 0, 0, {"val_loss": 0.1})
    write_trial(tmp_path, 0.4, 0, 0, FIGURES, status="failed")
    damaged = write_trial(tmp_path, 0.5, 0, 0, FIGURES)
    journal = tmp_path / "runs" / damaged / "journal-1.jsonl"
    journal.write_bytes(journal.read_bytes().replace(b'"val_accuracy":0.5', b'"val_accuracy":0.9'))
    settings, notes = ranked(tmp_path, where="train.lr in [0.1, 0.3]")
    assert [runs for runs, *_ in settings] == [[kept]]
    assert notes[0].startswith(f"left out: {damaged}: its record is damaged: {journal}: line 3 is damaged")
    assert notes[1:3] == ["left out: 1 not finished (1 failed)", "--where: 2 of 3 finished runs"]
    assert notes[3].startswith("left out: 1 without val_accuracy: r")


def test_the_direction_is_in_a_metrics_name_or_asked_for():
    names = ("val_loss", "rmse", "val/error", "val_accuracy", "val-f1", "val_f_beta", "R2")
    assert [is_lower_better(name) for name in names] == [True] * 3 + [False] * 4
    for name in ("score_of_mine", "accuracy_loss"):
        with pytest.raises(UserError, match=f"--by {name}: its name does not say .* add --minimize or --maximize"):
            is_lower_better(name)


def test_columns_are_what_differs_and_what_only_some_have_where_it_is_needed():
    settings = [
        {"model": "cnn", "lr": 1, "models.cnn.kernel": 3},
        {"model": "cnn", "lr": 1.0, "models.cnn.kernel": 5},
        {"model": "mlp", "lr": 1, "models.mlp.hidden": 8},
    ]
    assert differing(settings) == ["model", "models.cnn.kernel"]
    assert differing(settings[:1]) == []


def test_a_figure_that_some_runs_lack_is_of_those_that_have_it(tmp_path):
    write_trial(tmp_path, 0.1, 0, 0, {"val_accuracy": 0.5, "test_accuracy": 0.25})
    write_trial(tmp_path, 0.1, 1, 0, {"val_accuracy": 0.5})
    runs = select_runs(tmp_path, "val_accuracy").runs
    assert summarise(runs, "test_accuracy") == (0.25, None)
