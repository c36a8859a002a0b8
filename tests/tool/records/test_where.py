"""What `--where` understands, and what it refuses."""

import math

import pytest

from trackstack import UserError
from trackstack.records.where import read_where

RUN = {
    "val_accuracy": 0.91,
    "val_loss": math.nan,
    "val/loss": 0.4,
    "train.model": "cnn",
    "train.lr": 0.003,
    "train.compile": False,
    "train.init_from": None,
    "tensor_cache.test": [1, 4],
}


@pytest.mark.parametrize(
    "text",
    [
        'val_accuracy > 0.9 and train.model == "cnn"',
        "0.001 < train.lr <= 0.003",
        "not train.lr > 1",
        "train.model in ('cnn', 'mlp')",
        "train.model not in ['mlp']",
        "4 in tensor_cache.test",
        "tensor_cache.test == [1, 4]",
        "train.compile == false and train.init_from == null",
        "train.init_from is None",
        "`val/loss` < 0.5",
        "train.model != '`odd`'",
        "not " * 240 + "train.lr < 1",
        "nothing > 1 or val_accuracy > 0.9",
        " -1 < val_accuracy",
    ],
)
def test_a_run_is_meant(text):
    assert read_where(text).matches(RUN)


@pytest.mark.parametrize(
    "text",
    [
        "val_accuracy > 0.95",
        "nothing > 1",
        "nothing != 1",
        "not nothing > 1",
        "not (nothing > 1 and val_accuracy > 0.9)",
        "val_loss < 1",
        "val_loss != 1",
        "not val_loss > 1",
        "train.init_from > 1",
        "train.compile == true",
    ],
)
def test_a_run_is_not_meant_when_nobody_can_tell(text):
    assert not read_where(text).matches(RUN)


def test_names_are_told_as_they_were_typed():
    assert read_where("a.b > 1 and `c/d` < e").names == ["a.b", "c/d", "e"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "cannot be read"),
        ("train.lr = 1", "`==` compares"),
        ("train.lr", "`train.lr` is no comparison"),
        ("1 < 2", "compares no figure or parameter"),
        ("__import__('os').system('touch x') == 0", "is neither a name nor a value"),
        ("(lambda: 1)() == lr", "is neither a name nor a value"),
        ("lr + 1 > 2", "`lr + 1` is neither a name nor a value"),
        ("[x for x in a] == lr", "is neither a name nor a value"),
        ("(lr := 1) > 0", "is neither a name nor a value"),
        ("f'{lr}' == 1", "is neither a name nor a value"),
        ("lr > 1 if a > 2 else b > 3", "is no comparison"),
        ("`a b` + 1 > 2", "`a b + 1` is neither"),
        pytest.param("(" * 400 + "lr" + ")" * 400 + " > 1", "cannot be read", id="parentheses"),
        pytest.param("lr == " + "-" * 990 + "1", "nested too deeply", id="signs"),
        pytest.param("lr > 1 or " * 300 + "lr > 2", "longer than 1000 characters", id="long"),
        ("lr > 1\x00", "cannot be read"),
    ],
)
def test_nothing_else_is_read(text, said):
    with pytest.raises(UserError) as caught:
        read_where(text)
    assert said in str(caught.value)
    assert "expected something such as 'val_accuracy > 0.9" in str(caught.value)


def test_a_text_is_not_compared_with_a_number():
    with pytest.raises(UserError, match="'cnn' and 3 cannot be compared"):
        read_where("train.model > 3").matches(RUN)
