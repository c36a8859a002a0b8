"""How far each trial is, as a function of the log."""

import math

from support.searches import BEGIN, at_rung, ended, failed, promoted, spent, state_of, suggested

from trackstack.cluster.search import Metric
from trackstack.cluster.search.state import mean


def statuses(state):
    return [state.status(trial) for trial in state.trials]


def test_a_trial_is_begun_paused_promoted_finished_or_failed():
    lines = [suggested(0)]
    assert statuses(state_of(*lines)) == ["begun"]
    lines.append(at_rung(0, 0.5))
    assert statuses(state_of(*lines)) == ["paused"]
    lines.append(promoted(0))
    assert statuses(state_of(*lines)) == ["begun"]
    assert statuses(state_of(*lines, failed(0))) == ["failed"]
    assert statuses(state_of(*lines, ended(0, 0.4))) == ["finished"]


def test_without_pruning_only_its_end_completes_a_trial():
    state = state_of(suggested(0), at_rung(0, 0.5), prune="none")
    assert statuses(state) == ["begun"]
    assert state.missing(state.trials[0]) == [0]


def test_beyond_the_last_rung_a_trial_is_to_be_completed():
    state = state_of(suggested(0), at_rung(0, 0.5), promoted(0), rungs=[2])
    assert statuses(state) == ["begun"]


def test_a_trial_is_the_mean_over_its_members_once_all_of_them_are_there():
    lines = [suggested(0), at_rung(0, 0.4)]
    state = state_of(*lines, over=[["seed=0"], ["seed=1"]])
    assert (state.missing(state.trials[0]), state.values_at(0)) == ([1], {})
    state = state_of(*lines, at_rung(0, 0.2, member=1), over=[["seed=0"], ["seed=1"]])
    assert statuses(state) == ["paused"]
    assert math.isclose(state.values_at(0)[0], 0.3)
    lines += [ended(0, 0.2, rungs=(0.4,)), ended(0, 0.1, rungs=(0.2,), member=1)]
    state = state_of(*lines, over=[["seed=0"], ["seed=1"]])
    assert statuses(state) == ["finished"]
    assert math.isclose(state.trials[0].figures()[0], 0.15)


def test_what_is_no_number_is_worse_than_all_others():
    lines = [suggested(0), at_rung(0, None), suggested(1), at_rung(1, 5.0)]
    assert state_of(*lines).values_at(0) == {0: math.inf, 1: 5.0}
    upwards = state_of(*lines, metrics=[Metric("val_accuracy", lower_is_better=False)])
    assert upwards.values_at(0) == {0: math.inf, 1: -5.0}


def test_a_trial_that_ended_before_a_rung_counts_there_with_what_it_ended_with():
    state = state_of(suggested(0), ended(0, 0.4, rungs=(0.6,)))
    assert (state.values_at(0), state.values_at(1), state.values_at(5)) == ({0: 0.6}, {0: 0.4}, {0: 0.4})


def test_the_budget_is_spent_by_all_starts_and_typed_again_the_last_one_counts():
    lines = [suggested(0), spent(0, 0.5), spent(0, 0.5)]
    assert not state_of(*lines).is_spent
    lines = [{**BEGIN, "budget": 1.0}, *lines]
    assert state_of(*lines).is_spent
    state = state_of(*lines, {**BEGIN, "trials": 20, "budget": 2.0})
    assert (state.is_spent, state.num_wanted, state.hours) == (False, 20, 1.0)


def test_a_mean_is_the_same_in_whatever_order():
    values = [1e16, 1.0, -1e16, 0.5]
    assert mean(values) == mean(reversed(values)) == 0.375
    assert math.isnan(mean([1.0, None]))
