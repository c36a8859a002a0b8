"""In the process that trains: a metric at a rung goes to the log once, and the trial goes on or is paused."""

from support.searches import at_rung, promoted, search_in, suggested

from trackstack.cluster.search.log import opened, read_events
from trackstack.cluster.search.looks import describe_event, read_state, summary
from trackstack.cluster.search.rungs import RungWatch


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
        "trial 0: no checkpoint of it at its last rung; computed again from step 0 on"
    )
    assert summary(search, state, ["paused"]) == (
        "1 of 10 trials: 1 paused; 1 computed again what they had, since their training keeps no checkpoint at a rung"
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
