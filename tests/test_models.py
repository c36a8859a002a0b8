"""Every model takes windows and gives logits; what is wrong with a choice is one line."""

import pytest
import torch
from conftest import ROOT

from trackstack import UserError
from trackstack.models import MODELS, Shape, build_model
from trackstack.params import load_params

SECTIONS = load_params(ROOT / "params.yaml").models


def test_params_yaml_has_a_section_for_every_model():
    assert sorted(SECTIONS) == MODELS.names()


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize(
    "shape", [Shape(6, 200, 7), Shape(3, 20, 2), Shape(1, 1, 2), Shape(13, 1, 3), Shape(2, 7, 100)]
)
def test_a_model_gives_one_logit_per_class(name, shape):
    model = build_model(name, MODELS.params(name, SECTIONS), shape)
    logits = model(torch.randn(5, shape.window, shape.channels))
    assert logits.shape == (5, shape.classes)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_learns_two_windows_by_heart(name):
    torch.manual_seed(0)
    model = build_model(name, MODELS.params(name, SECTIONS), Shape(3, 20, 2))
    windows, labels = torch.randn(2, 20, 3).repeat(4, 1, 1), torch.tensor([0, 1]).repeat(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(windows), labels).backward()
        optimizer.step()
    assert (model.eval()(windows).argmax(1) == labels).all()


def test_an_unknown_model_is_answered_with_those_there_are():
    with pytest.raises(UserError, match=r"params\.yaml: train\.model is 'rnn'; expected one of cnn, "):
        MODELS.params("rnn", SECTIONS)


def test_a_name_that_is_a_path_is_no_model():
    with pytest.raises(UserError, match="expected one of"):
        MODELS.params("../train", SECTIONS)


@pytest.mark.parametrize(
    ("sections", "expected"),
    [
        (
            {"mlp": {"hidden": 10**12, "dropout": 0}},
            "params.yaml: models.mlp.hidden is 1000000000000; expected less than or equal to 65536",
        ),
        ({}, "params.yaml: models.mlp is missing, the parameters of train.model"),
        (
            {"mlp": {"hidden": 0, "dropout": 0}},
            "params.yaml: models.mlp.hidden is 0; expected greater than or equal to 1",
        ),
        (
            {"mlp": {"hidden": 1, "dropout": 0, "x": 1}},
            "params.yaml: models.mlp.x is unknown; allowed here: hidden, dropout",
        ),
    ],
)
def test_a_bad_section_is_one_line(sections, expected):
    with pytest.raises(UserError) as caught:
        MODELS.params("mlp", sections)
    assert str(caught.value) == expected


def test_an_even_kernel_is_refused():
    with pytest.raises(UserError, match=r"models\.cnn\.kernel is 4; expected an odd number"):
        MODELS.params("cnn", {"cnn": SECTIONS["cnn"] | {"kernel": 4}})
