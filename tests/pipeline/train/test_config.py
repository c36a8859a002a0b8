"""What decides the weights, and nothing else, is in a training's configuration."""

import json

import pytest

from pipeline.train.config import TrainingConfig
from trackstack import UserError
from trackstack.core.params import Parameters


def test_only_the_chosen_sections_are_in_it(choose):
    config = choose(loss="focal", metric="f_beta").as_json()
    assert {name: list(section) for name, section in config.items() if name != "train"} == {
        "models": ["cnn"],
        "losses": ["focal"],
        "metrics": ["f_beta"],
    }


def test_its_json_chooses_the_same_again(choose):
    config = choose(lr=0.1, keep="best")
    assert TrainingConfig.choose(Parameters(json.loads(json.dumps(config.as_json())))) == config


def test_a_choice_that_does_not_exist_is_one_line(choose):
    with pytest.raises(
        UserError, match=r"^params\.yaml: train\.loss is 'hinge'; expected one of focal, huber, likelihood "
    ):
        choose(loss="hinge")


def test_what_needs_a_validation_split_is_refused_without_one(choose):
    from pipeline.train.params import refuse_without_validation

    refuse_without_validation(choose().train)
    for changes, expected in (
        ({"keep": "best"}, "train.keep is 'best'; expected last"),
        ({"patience": 3}, "train.patience is 3; expected 0"),
    ):
        with pytest.raises(UserError, match=f"^params.yaml: {expected}, since tensor_cache.validation is false$"):
            refuse_without_validation(choose(**changes).train)
