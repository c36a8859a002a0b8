"""What `runs list`, `tag` and `note` print."""

import json

import pytest
from support.choosing import write_run, write_sweep
from support.recording import trackstack

from trackstack.system import locks


@pytest.fixture
def home(tmp_path, monkeypatch):
    """Twelve trials, and a script that failed."""
    monkeypatch.setattr(locks, "_open_files", {})
    write_sweep(tmp_path)
    write_run(tmp_path, {"lr": 1, "note": "x"}, {"score": 2.0, "lr": 0.5}, status="failed", name="script")
    return tmp_path


def listed(home, *arguments):
    """Header and rows, as words."""
    header, *rows = trackstack(home, "runs", "list", *arguments).splitlines()
    return header.split(), [row.split() for row in rows]


def test_columns_are_the_metrics_that_the_runs_have(home):
    header, rows = listed(home)
    assert header == [
        "run",
        "name",
        "status",
        "started",
        "seconds",
        "val_accuracy",
        "test_accuracy",
        "val_loss",
        "score",
    ]
    assert len(rows) == 13
    header, _ = listed(home, "--where", 'status == "failed"')
    assert header[5:] == ["score", "lr"]


@pytest.mark.parametrize(
    ("where", "number"),
    [
        ("val_accuracy > 0.705 and train.lr == 0.003", 4),
        ('train.model == "cnn"', 12),
        ("best.val_loss == -1", 12),
        ("tensor_cache.fold == 1 or score > 1", 7),
        ("params.lr == 1", 1),
        ("metrics.lr == 0.5", 1),
        ("seconds > 8", 13),
    ],
)
def test_the_condition_is_that_of_runs_best(home, where, number):
    assert len(listed(home, "--where", where)[1]) == number


def test_runs_are_sorted_by_anything_and_the_last_are_the_newest(home):
    _, rows = listed(home, "--sort=-val_accuracy", "--columns", "val_accuracy,best.val_loss,train.lr")
    figures = [float(row[1]) for row in rows if len(row) == 4]
    assert figures == sorted(figures, reverse=True)
    assert len(rows[-1]) == 1, "what has no value comes last"
    assert rows[0][1:] == ["0.81", "-1", "0.003"]
    assert {row[0] for row in listed(home, "--last", "5")[1]} == {row[0] for row in listed(home)[1][-5:]}


def test_a_sweep_is_found_by_its_name_with_and_without_the_digest(home):
    run = write_run(home, {"x": 3}, {"loss": 1.0}, tags={"sweep": "rates-3-f002"})
    for name in ("rates-3", "rates-3-f002"):
        assert [row[0] for row in listed(home, "--sweep", name)[1]] == [run]
    assert "there are runs of: rates-3, rates-3-f002\n" in trackstack(
        home, "runs", "list", "--sweep", "rates", expect=1
    )


def test_json_has_the_parameters_and_everything_else(home):
    rows = json.loads(trackstack(home, "runs", "list", "--last", "1", "--where", "score > 0", "--json"))
    (row,) = rows
    assert row["params"] == {"lr": 1, "note": "x"}
    assert row["metrics"] == {"score": 2.0, "lr": 0.5}
    assert (row["status"], row["tagged"], row["notes"], row["sweep"]) == ("failed", [], [], None)


def test_a_tagged_run_is_found_by_its_tag_and_shown_with_its_notes(home):
    run = listed(home)[1][0][0]
    assert trackstack(home, "runs", "tag", run[:8], "paper", "best-so-far") == f"{run}: paper best-so-far\n"
    assert trackstack(home, "runs", "note", run, "looks right") == f"{run}: noted\n"
    header, ((*_,),) = listed(home, "--tag", "paper")
    assert "tagged" in header
    shown = trackstack(home, "runs", "show", run)
    assert "paper best-so-far" in shown
    assert "looks right" in shown
    assert trackstack(home, "runs", "tag", run, "--remove", "paper", "best-so-far") == f"{run}: no tags\n"
    assert "--tag paper: no run of that name" in trackstack(home, "runs", "list", "--tag", "paper", expect=1)


def test_what_a_terminal_would_act_on_is_not_printed(home):
    write_run(home, {"x": 1}, {"loss": 1.0}, name="red\x1b[31m")
    assert "\x1b" not in trackstack(home, "runs", "list")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--where", "val_acuracy > 1"], "--where val_acuracy: no run has it; nearest: val_accuracy"),
        (["--where", "lr > 1"], "--where: lr is a parameter and a metric; type params.lr or metrics.lr"),
        (["--sort", "nothing"], "--sort nothing: no run has it; "),
        (["--columns", "val_accuracy,nothing"], "--columns nothing: no run has it; "),
        (["--sort", "best.score"], "--sort best.score: the name of score does not say which end of it is better"),
        (["--sweep", "s1"], "--sweep s1: no run of that name; there are runs of: nobody"),
    ],
)
def test_a_mistake_is_one_line(home, arguments, expected):
    said = trackstack(home, "runs", "list", *arguments, expect=1)
    assert said.startswith(expected)
    assert len(said.splitlines()) == 1
