"""Mean over the classes of the F-beta score: precision and recall in one number, every class counting alike."""

from __future__ import annotations

import numpy as np
from torch import Tensor

from trackstack.core.params import Positive, Section


class Params(Section):
    """`metrics.f_beta` in params.yaml."""

    beta: Positive
    """1: precision and recall count alike; larger: recall counts more."""


def metric(params: Params, logits_WK: Tensor, labels_W: Tensor) -> float:
    """Between 0 and 1; a class without windows and predictions counts 0.

    scikit-learn's `fbeta_score`, to the last bit, without the two seconds that its import takes of every training.
    """
    num_classes, weight = logits_WK.shape[1], params.beta**2
    labels_W, predicted_W = labels_W.cpu(), logits_WK.argmax(1).cpu()
    right_K, actual_K, guessed_K = (
        chosen.bincount(minlength=num_classes).numpy()
        for chosen in (labels_W[labels_W == predicted_W], labels_W, predicted_W)
    )
    total_K = weight * actual_K + guessed_K
    scores_K = np.divide((1 + weight) * right_K, total_K, out=np.zeros(num_classes), where=total_K > 0)
    return float(scores_K.mean())
