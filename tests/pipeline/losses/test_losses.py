"""The losses, against values that are known."""

import torch

from pipeline.modeling.base import LOSSES


def test_balanced_class_weights_count_rare_classes_more():
    loss = LOSSES.module("cross_entropy")
    section = loss.Params(label_smoothing=0, class_weights="balanced")
    weights = loss.Loss(section, torch.tensor([30, 10])).weights_K
    torch.testing.assert_close(weights, torch.tensor([2 / 3, 2.0]))


def test_focal_loss_without_gamma_is_cross_entropy():
    logits, labels = torch.randn(5, 3), torch.tensor([0, 1, 2, 0, 1])
    loss = LOSSES.module("focal")
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(loss.Loss(loss.Params(gamma=0), torch.ones(3))(logits, labels), expected)
