"""Mean over the classes of the F-beta score: precision and recall in one number, every class counting alike."""

from __future__ import annotations

from torch import Tensor

from trackstack.core.params import Positive, Section


class Params(Section):
    """`metrics.f_beta` in params.yaml."""

    beta: Positive
    """1: precision and recall count alike; larger: recall counts more."""


def metric(params: Params, logits_WK: Tensor, labels_W: Tensor) -> float:
    """Between 0 and 1; a class without windows and predictions counts 0."""
    from sklearn.metrics import fbeta_score  # takes a second, which checking the parameters should not

    numbers = range(logits_WK.shape[1])
    predicted_W = logits_WK.argmax(1)
    return float(
        fbeta_score(labels_W, predicted_W, beta=params.beta, labels=numbers, average="macro", zero_division=0)
    )
