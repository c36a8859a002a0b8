"""Every model takes windows and gives logits; what is wrong with a choice is one line."""

import pytest
import torch
from support.projects import ROOT

from pipeline.modeling.base import MODELS, Shape, build_model
from trackstack import UserError
from trackstack.core.params import Parameters

PARAMS = Parameters.load(ROOT / "params.yaml")


def test_params_yaml_has_a_section_for_every_model():
    assert sorted(PARAMS.get("models")) == MODELS.names()


@pytest.mark.parametrize("name", MODELS.names())
@pytest.mark.parametrize(
    "shape", [Shape(6, 200, 7), Shape(3, 20, 2), Shape(1, 1, 2), Shape(13, 1, 3), Shape(2, 7, 100)]
)
def test_a_model_gives_one_logit_per_class(name, shape):
    model = build_model(name, MODELS.params(name, PARAMS), shape)
    logits = model(torch.randn(5, shape.window, shape.channels))
    assert logits.shape == (5, shape.outputs)
    assert logits.isfinite().all()


@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_learns_two_windows_by_heart(name):
    torch.manual_seed(0)
    model = build_model(name, MODELS.params(name, PARAMS), Shape(3, 20, 2))
    windows, labels = torch.randn(2, 20, 3).repeat(4, 1, 1), torch.tensor([0, 1]).repeat(4)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(windows), labels).backward()
        optimizer.step()
    assert (model.eval()(windows).argmax(1) == labels).all()


@pytest.mark.parametrize("name", MODELS.names())
def test_a_model_can_be_exported_for_batches_of_any_size(name):
    """As MLflow gets it."""
    model = build_model(name, MODELS.params(name, PARAMS), Shape(3, 20, 2)).eval()
    batch = torch.export.Dim("batch")
    exported = torch.export.export(model, (torch.randn(2, 20, 3),), dynamic_shapes=({0: batch},)).module()
    for size in (1, 5):
        windows = torch.randn(size, 20, 3)
        assert torch.allclose(exported(windows), model(windows), atol=1e-5)


def test_an_unreasonable_size_is_refused():
    params = Parameters({"models": {"mlp": {"hidden": 10**12, "dropout": 0}}})
    with pytest.raises(UserError) as caught:
        MODELS.params("mlp", params)
    assert str(caught.value) == (
        "params.yaml: models.mlp.hidden is 1000000000000; expected less than or equal to 65536"
    )


def test_an_even_kernel_is_refused():
    params = Parameters({"models": {"cnn": PARAMS.get("models.cnn") | {"kernel": 4}}})
    with pytest.raises(UserError, match=r"models\.cnn\.kernel is 4; expected an odd number"):
        MODELS.params("cnn", params)


def test_of_a_single_row_the_cnn_begins_as_a_linear_model_and_learns_what_is_none():
    torch.manual_seed(0)
    model = MODELS.module("cnn").Model(MODELS.params("cnn", PARAMS), Shape(channels=2, window=1, outputs=1))
    rows_B1C = torch.randn(256, 1, 2)
    torch.testing.assert_close(model(rows_B1C), model.linear(rows_B1C[:, 0]))
    assert not [module for module in model.modules() if isinstance(module, torch.nn.Conv2d)]
    product_B1 = rows_B1C[:, 0].prod(1, keepdim=True)
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.01)
    for _ in range(300):
        optimizer.zero_grad()
        (model.eval()(rows_B1C) - product_B1).square().mean().backward()
        optimizer.step()
    assert (model(rows_B1C) - product_B1).square().mean() < 0.1 * product_B1.square().mean()
