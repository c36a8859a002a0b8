"""What people see of a search, and whether its decisions are the same when they are computed again."""

import json

import pytest
from support.searches import at_rung, ended, promoted, search_in, state_of, suggested

from trackstack import UserError
from trackstack.cluster.search import Metric
from trackstack.cluster.search.log import opened, read_events
from trackstack.cluster.search.looks import best, history, read_state, replay, rows, summary
from trackstack.cluster.search.sampler import PACKAGES
from trackstack.cluster.search.units import take_unit
from trackstack.cluster.sweep import TrialStatus
from trackstack.system.lease import give_back_lease


def searched(tmp_path, sampler="random"):
    """A search of six trials at their first rung, one of which goes on from there."""
    search = search_in(tmp_path, sampler=sampler)
    for value in (0.5, 0.4, 0.6, 0.3, 0.2):
        unit = take_unit(search)
        with opened(search.log) as log:
            rung = read_state(search).trials[unit.trial].target
            log.append(at_rung(unit.trial, value, rung))
        give_back_lease(unit.folder)
    return search


def changed(search, number, **changes):
    lines = read_events(search.log)
    lines[number] |= changes
    search.log.write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_replay_finds_a_line_that_was_changed(tmp_path, sampler):
    search = searched(tmp_path, sampler)
    assert list(replay(search)) == []
    events = read_events(search.log)
    suggestion = max(place for place, event in enumerate(events) if event["event"] == "suggest")
    changed(search, suggestion, values={"lr": 0.05, "seed": 1})
    (said,) = replay(search)
    assert said.startswith(f"line {suggestion + 1}: trial {events[suggestion]['trial']} with lr=0.05 seed=1, and now")
    promotion = next(place for place, event in enumerate(events) if event["event"] == "promote")
    changed(search, promotion, trial=2)
    assert any(line.startswith(f"line {promotion + 1}: promote of trial 2, and now") for line in replay(search))


def test_a_kill_between_a_rung_and_its_promotion_leaves_a_log_that_replays(tmp_path):
    """Then whoever is free decides."""
    search = search_in(tmp_path)
    for number, value in enumerate((0.5, 0.4, 0.1)):
        unit = take_unit(search)
        with opened(search.log) as log:
            log.append(at_rung(number, value), {"event": "spent", "trial": number, "member": 0, "hours": 0.0})
        give_back_lease(unit.folder)
    give_back_lease(take_unit(search).folder)
    assert read_events(search.log)[-1] == promoted(2)
    assert list(replay(search)) == []


def test_a_kill_between_a_rung_and_its_promotion_before_another_decision_leaves_a_log_that_replays(tmp_path):
    """Behind the line of the rung comes what whoever was free has decided: at a higher rung somebody goes first."""
    search = search_in(tmp_path)
    higher = [line for trial in range(3) for line in (suggested(trial), at_rung(trial, 0.1 + trial / 10))]
    for trial in range(3):
        higher += [promoted(trial), at_rung(trial, 0.1 + trial / 10, rung=1)]
    with opened(search.log) as log:
        log.append(*higher, suggested(3), at_rung(3, 0.0))
    give_back_lease(take_unit(search).folder)
    give_back_lease(take_unit(search).folder)
    assert read_events(search.log)[-1] == promoted(0, 1)
    before = len(higher) + 3
    assert not [line for line in replay(search) if int(line.split()[1].rstrip(":")) > before]


def test_replay_without_the_samplers_package_is_a_line(tmp_path, monkeypatch):
    search = searched(tmp_path, "tpe")
    monkeypatch.setitem(PACKAGES, "tpe", ("a_package_that_nobody_has",))
    with pytest.raises(UserError, match="not installed; type: pip install"):
        list(replay(search))


def test_a_row_for_each_trial_and_a_line_for_all(tmp_path):
    search = searched(tmp_path)
    unit = take_unit(search)
    state = read_state(search)
    found = rows(search, state)
    assert found[unit.trial]["state"] == "running"
    give_back_lease(unit.folder)
    assert rows(search, state)[unit.trial]["state"] == "waiting"
    search.sweep.write(unit.run.name, TrialStatus("running", attempts=1))
    assert rows(search, state)[unit.trial]["state"] == "interrupted"
    states = [row["state"] for row in found]
    assert summary(search, state, states).startswith(f"{len(found)} of 10 trials: ")


def test_pruning_that_had_nothing_to_compare_says_so(tmp_path):
    """A script that logs nothing while it runs has its figures only in the end."""
    search, lines = search_in(tmp_path), [suggested(0), ended(0, 0.5, rungs=(0.5,))]
    said = summary(search, state_of(*lines), ["finished"])
    assert said == "1 of 10 trials: 1 finished; --prune asha compared none: no figure came while a training ran"
    assert "compared" not in summary(search, state_of(*lines, prune="none"), ["finished"])
    assert "compared" not in summary(search, state_of(*lines, suggested(1), at_rung(1, 0.4)), ["finished", "paused"])


def test_the_best_is_first_and_its_history_is_told():
    lines = [
        line for trial, value in enumerate((0.5, None, 0.3, 0.4)) for line in (suggested(trial), ended(trial, value))
    ]
    down = state_of(*lines)
    up = state_of(*lines, metrics=[Metric("val_accuracy", lower_is_better=False)])
    assert [trial.number for trial in best(down)] == [2, 3, 0]
    assert [trial.number for trial in best(up)] == [0, 3, 2]
    assert history(down) == ["trial 0: val_loss 0.5", "trial 2: val_loss 0.3"]
    assert history(up) == ["trial 0: val_accuracy 0.5"]
