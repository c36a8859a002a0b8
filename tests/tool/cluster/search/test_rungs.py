"""In the process that trains: a metric at a rung goes to the log once, and the trial goes on or is paused."""

import json

import pytest
from support.recording import in_back_ends, in_journals, record, statuses, trackstack
from support.searches import at_rung, promoted, search_in, suggested
from support.wandb_reader import read_wandb

from trackstack import Interrupted
from trackstack.cluster.search.log import opened, read_events
from trackstack.cluster.search.looks import describe_event, read_state, summary
from trackstack.cluster.search.rungs import RungWatch, variables
from trackstack.system import stopping
from trackstack.tracking.script.rungs import watch_rungs


def begun(tmp_path, *lines, **changes):
    search = search_in(tmp_path, **changes)
    with opened(search.log) as log:
        log.append(*lines)
    return search, len(read_events(search.log))


def test_a_trial_that_is_not_among_the_best_is_paused_at_its_rung(tmp_path):
    search, before = begun(tmp_path, suggested(0))
    watch = RungWatch(search, 0, 0)
    assert watch({"train_loss": 0.1}, 0) is None, "another metric"
    assert watch({"val_loss": 0.5}, 0) == "paused at 1 steps: others of search s come first"
    assert read_events(search.log)[before:] == [at_rung(0, 0.5)]


def test_what_is_promoted_goes_on_behind_its_rung_and_is_compared_at_the_next_one(tmp_path):
    search, before = begun(tmp_path, suggested(0), at_rung(0, 0.5), promoted(0))
    watch = RungWatch(search, 0, 0)
    assert watch({"val_loss": 0.5}, 1) is None
    assert watch({"val_loss": float("nan")}, 2).startswith("paused at 3 steps")
    assert read_events(search.log)[before:] == [at_rung(0, None, rung=1)]


def test_a_training_that_goes_on_just_before_a_rung_is_compared_by_its_value_there(tmp_path):
    """Although it says nothing more of the rungs that it passed before it was killed."""
    lines = [at_rung(0, 0.5), promoted(0), at_rung(0, 0.4, rung=1), promoted(0, 1)]
    search, before = begun(tmp_path, suggested(0), *lines)
    watch = RungWatch(search, 0, 0)
    assert watch({"val_loss": 0.3}, 7) is None
    assert watch({"val_loss": 0.2}, 8).startswith("paused at 9 steps")
    assert read_events(search.log)[before:] == [at_rung(0, 0.2, rung=2)]


def test_what_begins_anew_behind_a_rung_says_so_once_and_is_compared_at_no_rung_twice(tmp_path):
    search, before = begun(tmp_path, suggested(0), at_rung(0, 0.5), promoted(0))
    watch = RungWatch(search, 0, 0)
    assert [watch({"val_loss": 0.5}, step) for step in (0, 1)] == [None, None]
    assert watch({"val_loss": 0.4}, 2).startswith("paused at 3 steps")
    again = {"event": "again", "trial": 0, "member": 0, "step": 0}
    assert read_events(search.log)[before:] == [again, at_rung(0, 0.4, rung=1)]
    state = read_state(search)
    assert describe_event(search, again) == (
        "trial 0: again from step 0: no checkpoint was kept at the rung that it had reached"
    )
    assert summary(search, state, ["paused"]) == (
        "1 of 10 trials: 1 paused; 1 began again before a rung that they had reached: no checkpoint was kept there"
    )


def test_the_best_third_goes_on_without_a_pause(tmp_path):
    others = [line for trial in (0, 1) for line in (suggested(trial), at_rung(trial, 0.5))]
    search, before = begun(tmp_path, *others, suggested(2))
    assert RungWatch(search, 2, 0)({"val_loss": 0.1}, 0) is None
    assert read_events(search.log)[before:] == [at_rung(2, 0.1), promoted(2)]


def test_a_rung_that_falls_between_two_logs_is_reached_by_the_later_one(tmp_path):
    search, before = begun(tmp_path, suggested(0), rungs=[2, 6])
    watch = RungWatch(search, 0, 0)
    assert watch({"val_loss": 0.9}, 0) is None
    assert watch({"val_loss": 0.5}, 3).startswith("paused at 2 steps")
    assert read_events(search.log)[before:] == [at_rung(0, 0.5)]


def test_a_value_behind_two_rungs_counts_at_both_whoever_is_among_the_best_at_the_first(tmp_path):
    search, before = begun(tmp_path, suggested(0))
    assert RungWatch(search, 0, 0)({"val_loss": 0.5}, 4).startswith("paused at 3 steps")
    assert read_events(search.log)[before:] == [at_rung(0, 0.5), at_rung(0, 0.5, rung=1)]

    others = [line for trial in (1, 2) for line in (suggested(trial), at_rung(trial, 0.5))]
    with opened(search.log) as log:
        log.append(*others, suggested(3))
        before = len(log.events)
    assert RungWatch(search, 3, 0)({"val_loss": 0.1}, 4).startswith("paused at 3 steps")
    lines = [at_rung(3, 0.1), promoted(3), at_rung(3, 0.1, rung=1)]
    assert read_events(search.log)[before:] == lines


def test_what_a_checkpoint_has_kept_of_the_steps_before_may_be_told_again(tmp_path):
    """As this repository's training does, for a DVCLive that begins anew."""
    search, before = begun(tmp_path, suggested(0), at_rung(0, 0.5), promoted(0))
    watch = RungWatch(search, 0, 0)
    assert [watch({"val_loss": 0.5}, step, is_new=False) for step in (0, 1)] == [None, None]
    assert watch({"val_loss": 0.4}, 2, is_new=True).startswith("paused at 3 steps")
    assert read_events(search.log)[before:] == [at_rung(0, 0.4, rung=1)]


def test_an_evaluation_has_figures_of_the_metric_too_and_is_neither_compared_nor_paused(tmp_path, monkeypatch):
    search, before = begun(tmp_path, suggested(0), at_rung(0, 0.5), promoted(0))
    for name, value in variables(search.sweep.folder, 0, 0).items():
        monkeypatch.setenv(name, value)
    watch_rungs("evaluate")({"val_loss": 0.4}, 2, True)
    assert len(read_events(search.log)) == before
    monkeypatch.setattr(stopping, "pauses", [])
    for stage, step in (("train", 2), ("run", 8)):  # of this repository's pipeline, and of anybody's script
        with opened(search.log) as log:
            log.append(promoted(0, len(read_state(search).trials[0].members[0].rungs) - 1))
        with pytest.raises(Interrupted, match=f"paused at {step + 1} steps"):
            watch_rungs(stage)({"val_loss": 0.4}, step, True)


TRAINING = """
import json, random
import trackstack

with trackstack.Stop() as stop, trackstack.start_run("walk", {"lr": 0.1}) as run:
    kept = run.folder / "checkpoints/epoch.json"
    state = json.loads(kept.read_text()) if kept.exists() else {"epoch": 0, "weight": 0.0}
    for epoch in range(state["epoch"], 6):
        state = {"epoch": epoch + 1, "weight": state["weight"] + random.Random(epoch).random() / 3}
        run.log({"val_loss": 1 / (1 + state["weight"])}, epoch)
        kept.parent.mkdir(exist_ok=True)
        kept.write_text(json.dumps(state))
        if reason := stop.reason():
            raise trackstack.Interrupted(reason)
open("model.json", "w").write(json.dumps(state))
"""
SINKS = ("sqlite", "mlflow", "wandb")


def test_a_training_is_paused_in_every_back_end_and_goes_on_to_the_bytes_of_one_that_never_was(tmp_path):
    never, home = tmp_path / "never", tmp_path / "home"
    record(never, "", script=TRAINING)
    home.mkdir()
    search, _ = begun(home, suggested(0))
    as_trial = variables(search.sweep.folder, 0, 0)
    record(home, ",".join(SINKS), script=TRAINING, expect=75, **as_trial)
    assert not (home / "model.json").exists()
    trackstack(home, "sync")
    assert statuses(home) == [("paused", 0)]
    assert status_in_mlflow(home) == ("KILLED", "paused")
    assert status_in_wandb(home) == "paused"

    with opened(search.log) as log:
        log.append(promoted(0), *(line for trial in (1, 2) for line in (suggested(trial), at_rung(trial, 0.9))))
        log.append(*(line for trial in (1, 2) for line in (promoted(trial), at_rung(trial, 0.95, rung=1))))
    record(home, ",".join(SINKS), script=TRAINING, **as_trial)
    assert (home / "model.json").read_bytes() == (never / "model.json").read_bytes()
    trackstack(home, "sync")
    assert statuses(home) == [("finished", 0)]
    assert status_in_mlflow(home) == ("FINISHED", None)
    assert status_in_wandb(home) == "finished"
    expected = sorted(in_journals(home))
    assert [point[1:] for point in expected] == sorted(point[1:] for point in in_journals(never))
    assert in_back_ends(home, SINKS) == dict.fromkeys(SINKS, expected)


def status_in_mlflow(home):
    from mlflow.tracking import MlflowClient

    client = MlflowClient(f"sqlite:///{home}/mlflow.db")
    (run,) = client.search_runs([client.get_experiment_by_name("trackstack").experiment_id])
    return run.info.status, run.data.tags.get("trackstack.status")


def status_in_wandb(home):
    """As the last of the offline folders has it."""
    files = sorted(home.glob("runs/*/**/offline-run-*/*.wandb"), key=lambda file: file.stat().st_mtime)
    said = [
        json.loads(update.value_json)
        for entry in read_wandb(files[-1])
        for update in entry.summary.update
        if update.key == "trackstack_status"
    ]
    return said[-1]
