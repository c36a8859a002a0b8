"""The losses, against values that are known."""

import torch

from pipeline.modeling.base import LOSSES


def test_balanced_class_weights_count_rare_classes_more():
    loss = LOSSES.module("likelihood")
    section = loss.Params(label_smoothing=0, class_weights="balanced")
    weights = loss.Loss(section, torch.tensor([30, 10])).weights_K
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2.0]))


def test_focal_loss_without_gamma_is_cross_entropy():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    loss = LOSSES.module("focal")
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss.Loss(loss.Params(gamma=0), torch.ones(3))(logits, labels), expected)


def test_the_likelihood_of_amounts_is_their_squared_error():
    loss = LOSSES.module("likelihood")
    of_amounts = loss.Loss(loss.Params(label_smoothing=0.1, class_weights="none"), None)
    found = of_amounts(torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[0.0, 4.0], [0.0, -1.0]]))
    assert found.tolist() == [(1 + 4) / 2, 0]


def test_hubers_loss_is_squared_near_zero_and_absolute_far_away():
    loss = LOSSES.module("huber")
    errors = torch.tensor([[0.5], [-3.0]])
    assert loss.Loss(loss.Params(delta=1), None)(errors, torch.zeros(2, 1)).tolist() == [0.5 * 0.5**2, 3 - 0.5]
