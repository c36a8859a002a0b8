"""In the process that trains: a metric at a rung goes to the log once, and the trial goes on or is paused."""

from support.searches import at_rung, promoted, search_in, suggested

from trackstack.cluster.search.log import opened, read_events
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


def test_what_is_promoted_goes_on_from_its_first_step_and_is_compared_once_a_rung(tmp_path):
    search, before = begun(tmp_path, suggested(0), at_rung(0, 0.5), promoted(0))
    watch = RungWatch(search, 0, 0)
    assert [watch({"val_loss": 0.5}, step) for step in (0, 1)] == [None, None]
    assert watch({"val_loss": float("nan")}, 2).startswith("paused at 3 steps")
    assert read_events(search.log)[before:] == [at_rung(0, None, rung=1)]


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
