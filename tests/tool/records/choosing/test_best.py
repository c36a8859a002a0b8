"""Settings ranked, by what was recorded of their runs."""

import json
import math
import sqlite3
import statistics
from collections import defaultdict

import pytest
from support.choosing import FIGURES, ranked, write_sweep, write_trial
from support.projects import run_in
from support.recording import trackstack

from trackstack import UserError
from trackstack.records.choosing.best import differing, is_lower_better, mixed_code, summarise
from trackstack.records.choosing.selection import select_runs


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
    assert math.isnan(summarise(runs[1:], "test_accuracy").mean)


def test_one_mean_over_runs_of_different_code_is_said_with_the_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_in(tmp_path, "git init -q")
    runs = []
    for seed, text in enumerate(("a = 1", "a = 1", "a = 2")):
        (tmp_path / "train.py").write_text(text)
        commit = run_in(
            tmp_path, "git add train.py && git commit -qm code --allow-empty && git rev-parse HEAD"
        ).stdout
        runs.append(write_trial(tmp_path, 0.1, seed, 0, FIGURES, tags={"source": commit.strip()}))
    candidates = select_runs(tmp_path, "val_accuracy").runs
    assert mixed_code([candidates[:2], candidates[2:]]) is None
    said = mixed_code([candidates])
    assert said.startswith(
        f"{runs[0]} and {runs[2]} are averaged and differ in code, such as train.py; trackstack runs"
    )
