"""A checkpoint gives back what was saved, bit for bit, or says why not."""

import random

import numpy as np
import pytest
import torch
from support.damage import DAMAGES, damaged, no_room

from trackstack import UserError
from trackstack.training.checkpoint import Checkpoints, random_states, set_random_states


def state_of(step):
    return {
        "model": {"weight": torch.full((2, 3), float(step)), "half": torch.ones(2, dtype=torch.bfloat16)},
        "optimizer": {
            "state": {0: {"step": torch.tensor(1.0)}},
            "param_groups": [{"betas": (0.9, 0.999), "lr": 0.1}],
        },
        "history": [{"val_loss": 0.1 + 0.2, "nan": float("nan")}],
        "nothing": None,
        "empty": {},
    }


def assert_same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, torch.Tensor):
        assert found.dtype == expected.dtype
        assert torch.equal(found, expected)
    elif isinstance(expected, dict):
        assert list(found) == list(expected)
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            assert_same(one, other)
    else:
        assert repr(found) == repr(expected)


@pytest.fixture
def checkpoints(tmp_path):
    return Checkpoints(tmp_path / "checkpoints", "r1")


def test_what_was_saved_comes_back(checkpoints):
    assert checkpoints.load() is None
    checkpoints.save(7, state_of(7))
    step, state = checkpoints.load()
    assert step == 7
    assert_same(state, state_of(7))


def test_the_last_two_are_kept_and_all_are_gone_at_the_end(checkpoints):
    for step in (1, 2, 3, 10):
        checkpoints.save(step, state_of(step))
    assert [file.name for file in sorted(checkpoints.folder.iterdir())] == [
        "step-000000003.safetensors",
        "step-000000010.safetensors",
    ]
    assert checkpoints.load(3)[0] == 3
    checkpoints.remove()
    assert not checkpoints.folder.exists()


def cut(content):
    return content[:-1]


def empty(content):
    return b""


def one_bit(content):
    return content[:-3] + bytes([content[-3] ^ 1]) + content[-2:]


@pytest.mark.parametrize("damage", [cut, empty, one_bit])
def test_a_damaged_one_is_skipped_with_a_warning(checkpoints, damage, capsys):
    for step in (1, 2):
        checkpoints.save(step, state_of(step))
    newest = checkpoints.folder / "step-000000002.safetensors"
    newest.write_bytes(damage(newest.read_bytes()))
    assert checkpoints.load()[0] == 1
    assert f"warning: {newest}: damaged (" in capsys.readouterr().err


def test_when_all_are_damaged_new_ones_are_kept_although_their_steps_are_lower(checkpoints):
    for step in (90, 100):
        checkpoints.save(step, state_of(step))
        (checkpoints.folder / f"step-{step:09d}.safetensors").write_bytes(b"damaged")
    assert checkpoints.load() is None
    checkpoints.save(5, state_of(5))
    assert checkpoints.load()[0] == 5


def test_one_for_which_there_is_no_room_costs_a_warning_and_not_the_run(checkpoints, capsys):
    checkpoints.save(1, state_of(1))
    with no_room(100):
        checkpoints.save(2, state_of(2))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"warning: {checkpoints.folder}/step-000000002.safetensors: ")
    assert line.endswith(": the run goes on without this checkpoint")
    assert [file.name for file in checkpoints.folder.iterdir()] == ["step-000000001.safetensors"]
    assert checkpoints.load()[0] == 1


@pytest.mark.parametrize("how", DAMAGES)
def test_whatever_becomes_of_the_newest_the_one_before_is_taken(checkpoints, how):
    for step in (1, 2):
        checkpoints.save(step, state_of(step) | {"history": [{"loss": 0.25}]})
    newest = checkpoints.folder / "step-000000002.safetensors"
    with damaged(newest, how, checkpoints.folder):
        assert checkpoints.load()[0] == 1
        if how == "folder":
            checkpoints.save(1, state_of(1))
            assert not newest.exists()
    assert checkpoints.load()[0] == 2


def test_one_of_another_run_is_refused(checkpoints):
    checkpoints.save(1, state_of(1))
    with pytest.raises(UserError, match=r"a checkpoint of run r1, not of r2; remove it and start again"):
        Checkpoints(checkpoints.folder, "r2").load()


def test_random_states_go_on_where_they_were(checkpoints):
    checkpoints.save(1, {"random": random_states()})
    drawn = [(random.random(), np.random.rand(), torch.rand(1).item()) for _ in range(2)]
    set_random_states(checkpoints.load()[1]["random"])
    assert [(random.random(), np.random.rand(), torch.rand(1).item()) for _ in range(2)] == drawn


def test_the_clock_says_when_one_is_due(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_CHECKPOINT_SECONDS", "0")
    assert Checkpoints(tmp_path, "r1").due()
    monkeypatch.setenv("TRACKSTACK_CHECKPOINT_SECONDS", "1000")
    assert not Checkpoints(tmp_path, "r1").due()


def test_a_time_that_is_no_number_is_one_line(tmp_path, monkeypatch):
    monkeypatch.setenv("TRACKSTACK_CHECKPOINT_SECONDS", "often")
    with pytest.raises(UserError) as caught:
        Checkpoints(tmp_path, "r1")
    assert str(caught.value) == "TRACKSTACK_CHECKPOINT_SECONDS is 'often'; expected a number of seconds"
