"""How a script ended is what its record says, whoever handled the signal and whatever class the exception is of."""

import signal
import sys

import optuna
import pytest
from optuna import TrialPruned

from trackstack import UserError
from trackstack.records.query import list_runs
from trackstack.system.stopping import Interrupted, Stop
from trackstack.tracking.run import start_run
from trackstack.tracking.script.ending import how_it_ended, how_the_process_ended, last_fault


class SIGTERMException(SystemExit):
    """As Lightning's: a good end by its exit code."""


@pytest.mark.parametrize(
    ("fault", "asked", "status"),
    [
        (None, None, "finished"),
        (None, "signal SIGTERM", "interrupted"),
        (SystemExit(0), None, "finished"),
        (SystemExit(), "signal SIGTERM", "interrupted"),
        (SystemExit(3), None, "failed"),
        (SystemExit(1), "signal SIGINT", "interrupted"),
        (SystemExit(75), None, "interrupted"),
        (Interrupted("the deadline is near"), None, "interrupted"),
        (KeyboardInterrupt(), None, "interrupted"),
        (SIGTERMException(), None, "interrupted"),
        (ValueError("no"), None, "failed"),
        (RuntimeError("a worker was killed"), "signal SIGTERM", "interrupted"),
        (TrialPruned(), None, "pruned"),
        (type("Mine", (TrialPruned,), {})(), "signal SIGTERM", "pruned"),
    ],
)
def test_the_status_of_a_block_that_was_left(fault, asked, status):
    assert how_it_ended(fault, asked)[0] == status


def swallowed(number=signal.SIGTERM):
    before = signal.signal(number, lambda *_: None)
    signal.raise_signal(number)
    signal.signal(number, before)


def test_a_signal_that_a_framework_swallows_ends_the_run_as_interrupted_and_says_so(ends, capsys):
    with start_run("mine") as run:
        swallowed()
    assert ends() == [("interrupted", "signal SIGTERM")]
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: run {run.id}: signal SIGTERM, so it is recorded as interrupted; run.finish(")


def test_a_run_that_is_interrupted_before_its_first_point_is_gone_on_with(ends, home):
    for _ in range(2):
        with start_run("mine") as run:
            run.finish("interrupted")
    with start_run("mine") as run:
        run.log({"loss": 1.0}, step=0)
    assert [status for status, _ in ends()] == ["interrupted", "interrupted", "finished"]
    assert [row["status"] for row in list_runs(home)] == ["finished"]


def test_the_exit_code_of_a_framework_s_good_end_says_that_it_was_interrupted(ends):
    def loop():
        with start_run("mine"):
            swallowed()
            raise SIGTERMException

    with pytest.raises(SIGTERMException) as left:
        loop()
    assert left.value.code == 75
    assert ends() == [("interrupted", "signal SIGTERM")]


def test_a_stage_that_was_interrupted_does_not_end_well_for_dvc(ends, monkeypatch):
    monkeypatch.setenv("DVC_STAGE", "train")
    with pytest.raises(Interrupted), start_run("mine"):
        swallowed()
    assert [status for status, _ in ends()] == ["interrupted"]


def test_a_loop_that_leaves_when_its_stop_says_so_was_interrupted(ends, home, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_STOP_FILE", str(home / "stop"))
    (home / "stop").touch()
    with Stop() as stop, start_run("mine") as run:
        for step in range(3):
            if stop.reason():
                break
            run.log({"loss": 1.0}, step)
    assert ends() == [("interrupted", f"the stop file {home / 'stop'} is there")]


def test_a_stop_whose_loop_was_through_interrupted_nothing(ends):
    with Stop(), start_run("mine"):
        signal.raise_signal(signal.SIGTERM)
    assert ends() == [("finished", None)]


@pytest.mark.parametrize("status", ["finished", "interrupted", "pruned", "failed"])
def test_finish_says_how_it_ended_whatever_comes_after(ends, status):
    with start_run("mine") as run:
        swallowed()
        run.finish(status)
    assert ends() == [(status, None)]
    assert run.status == status


def test_a_run_without_a_block_is_finished_by_a_call(ends):
    run = start_run("mine")
    run.log({"loss": 0.5}, step=0)
    run.finish()
    assert ends() == [("finished", None)]
    with pytest.raises(UserError, match=r"^run.finish: run r\w{12} has ended \(finished\); "):
        run.finish()


def test_a_run_that_nobody_finishes_ends_with_the_process(ends, monkeypatch, capsys):
    monkeypatch.setattr(sys, "last_value", None, raising=False)
    start_run("mine")._at_exit()
    assert ends() == [("interrupted", "run.finish() was not called")]
    assert "run.finish() was not called; it is recorded as interrupted" in capsys.readouterr().err
    monkeypatch.setattr(sys, "last_value", ValueError("no ideas"))
    assert how_the_process_ended(None) == ("failed", "ValueError: no ideas")
    assert how_the_process_ended(None, before=last_fault())[0] == "interrupted", "that of a cell before the run"


def test_a_pruned_trial_is_listed_as_pruned_and_can_go_on(home, ends):
    def trial():
        with start_run("mine") as run:
            run.log({"loss": 0.5}, step=0)
            raise TrialPruned

    with pytest.raises(TrialPruned):
        trial()
    assert [row["status"] for row in list_runs(home)] == ["pruned"]
    with start_run("mine") as run:
        run.log({"loss": 0.4}, step=1)
    (row,) = list_runs(home)
    assert (row["status"], row["metrics"]) == ("finished", {"loss": 0.4})


def test_optuna_s_own_study_and_the_record_agree(home):
    def objective(trial):
        with start_run("mine", {"number": trial.number}) as run:
            run.log({"loss": 0.5}, step=0)
            if trial.number % 2:
                raise TrialPruned
        return 0.5

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study()
    study.optimize(objective, n_trials=3)
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "PRUNED", "COMPLETE"]
    assert [row["status"] for row in list_runs(home)] == ["finished", "pruned", "finished"]


@pytest.mark.parametrize("first", ["interrupted", "failed", "pruned"])
def test_an_attempt_that_begins_behind_the_first_step_joins_the_series(home, first):
    run = start_run("mine")
    for step in range(3):
        run.log({"loss": 1.0}, step)
    run.finish(first)
    with start_run("mine") as run:
        for step in range(2, 5):
            run.log({"loss": 1.0}, step)
    (row,) = list_runs(home)
    assert row["status"] == "finished"


def test_an_attempt_that_begins_anew_is_a_run_beside_it(home):
    run = start_run("mine")
    run.log({"loss": 1.0}, 0)
    run.finish("interrupted")
    with start_run("mine") as run:
        run.log({"loss": 2.0}, 0)
        run.log({"loss": 2.0}, 1)
    assert [(row["run"], row["status"]) for row in list_runs(home)] == [
        (run.id, "interrupted"),
        (f"{run.id}-2", "finished"),
    ]
