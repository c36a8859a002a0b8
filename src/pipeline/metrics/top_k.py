"""How often the right class is among the k most probable ones."""

from __future__ import annotations

from torch import Tensor

from trackstack.core.params import Count, Section


class Params(Section):
    """`metrics.top_k` in params.yaml."""

    k: Count
    """With as many classes or fewer it is always 1."""


def metric(params: Params, logits_WK: Tensor, labels_W: Tensor) -> float:
    """A fraction of the windows."""
    best_Wk = logits_WK.topk(min(params.k, logits_WK.shape[1])).indices
    return (best_Wk == labels_W[:, None]).any(1).double().mean().item()
