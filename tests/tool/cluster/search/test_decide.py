"""What a search does next, as a function of its log: who goes on, who waits, and when it is over."""

from support.searches import (
    BEGIN,
    at_rung,
    ended,
    failed,
    promoted,
    settings,
    spent,
    state_of,
    suggested,
)

from trackstack.cluster.search.decide import (
    decision_at_rung,
    has_ended,
    next_decision,
    why_hopeless,
    worth_promoting,
)
from trackstack.cluster.search.space import parse_space

SPACE = parse_space(settings().space, "space.yaml")


def ladder(values, rung=0):
    """Trials at a rung, in this order."""
    return [line for number, value in enumerate(values) for line in (suggested(number), at_rung(number, value, rung))]


def next_one(state):
    decision = next_decision(state, SPACE, {})
    return None if decision is None else (decision["event"], decision.get("trial"))


def test_asha_lets_the_best_third_of_those_at_a_rung_go_on():
    assert worth_promoting(state_of(*ladder([0.5, 0.4])), 0) == set()
    assert worth_promoting(state_of(*ladder([0.5, 0.4, 0.6])), 0) == {1}
    assert worth_promoting(state_of(*ladder([0.5, 0.4, 0.6, 0.3, 0.7, 0.8])), 0) == {1, 3}
    assert worth_promoting(state_of(*ladder([0.5, 0.5, 0.5])), 0) == {0}, "of equal ones the first"


def test_the_median_rule_waits_for_five_and_then_lets_the_better_half_go_on():
    values = [0.5, 0.4, 0.6, 0.3]
    assert worth_promoting(state_of(*ladder(values), prune="median"), 0) == {0, 1, 2, 3}
    assert worth_promoting(state_of(*ladder([*values, 0.7]), prune="median"), 0) == {0, 1, 3}
    diverged = state_of(*ladder([None, None, None, 0.1, None]), prune="median")
    assert worth_promoting(diverged, 0) == {3}, "no number is never good enough"


def test_a_trial_at_its_rung_goes_on_at_once_where_it_is_among_the_best():
    state = state_of(*ladder([0.5, 0.4, 0.6]))
    assert decision_at_rung(state, state.trials[1]) == promoted(1)
    assert decision_at_rung(state, state.trials[0]) is None
    members = state_of(*ladder([0.5, 0.4, 0.6]), over=[["seed=0"], ["seed=1"]])
    assert decision_at_rung(members, members.trials[1]) is None, "its other member has yet to get there"


def test_whoever_is_free_goes_on_with_the_best_paused_trial_of_the_highest_rung_or_begins_another():
    lines = ladder([0.5, 0.4, 0.6])
    assert next_one(state_of(*lines)) == ("promote", 1)
    assert next_one(state_of(*lines, promoted(1))) == ("suggest", 3)
    lines = ladder([0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    lines += [line for trial in (8, 7, 6) for line in (promoted(trial), at_rung(trial, trial / 10, 1))]
    assert next_one(state_of(*lines)) == ("promote", 6)


def test_when_all_have_begun_the_best_paused_one_is_completed_rather_than_none():
    lines = [{**BEGIN, "trials": 2}, *ladder([0.5, 0.4])]
    assert next_one(state_of(*lines)) == ("promote", 1)
    assert next_one(state_of(*lines, promoted(1))) is None, "it is at work"
    lines += [promoted(1), ended(1, 0.3)]
    state = state_of(*lines)
    assert next_one(state) is None
    assert has_ended(state, SPACE)


def test_a_grid_that_has_no_more_points_is_a_search_that_has_begun_all():
    space = parse_space({"seed": {"choice": [0, 1]}}, "space.yaml")
    state = state_of(*ladder([0.5, 0.4]), sampler="grid", prune="none")
    assert next_decision(state, space, {}) is None
    state = state_of(*ladder([0.5, 0.4]), sampler="grid")
    assert next_decision(state, space, {}) == promoted(1)
    assert not has_ended(state_of(BEGIN, sampler="grid"), space)


def test_a_search_whose_budget_is_used_up_decides_nothing_more():
    lines = [{**BEGIN, "budget": 1.0}, *ladder([0.5, 0.4, 0.6])]
    assert next_one(state_of(*lines)) == ("promote", 1)
    state = state_of(*lines, spent(0, 1.0))
    assert next_one(state) is None
    assert decision_at_rung(state, state.trials[1]) is None
    assert has_ended(state, SPACE)
    assert not has_ended(state_of(*lines, promoted(1), spent(0, 1.0)), SPACE), (
        "what was promoted is brought to its rung"
    )


def test_three_failures_and_nothing_else_end_a_search():
    lines = [suggested(0), failed(0), suggested(1), failed(1), suggested(2)]
    assert why_hopeless(state_of(*lines)) is None
    hopeless = state_of(*lines, failed(2, "another"))
    assert why_hopeless(hopeless) == "the train_loss is nan"
    assert next_one(hopeless) is None
    assert why_hopeless(state_of(*lines, at_rung(2, 0.5), failed(2))) is None, "it had got somewhere"
    assert next_one(state_of(*lines, failed(2), suggested(3), ended(3, 0.5))) == ("suggest", 4)
