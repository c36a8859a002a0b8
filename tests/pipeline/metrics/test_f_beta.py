"""The F-beta score is scikit-learn's, to the last bit."""

import pytest
import torch
from sklearn.metrics import fbeta_score

from pipeline.metrics.f_beta import Params, metric


@pytest.mark.parametrize("beta", [0.3, 1.0, 2.0])
@pytest.mark.parametrize(("num_classes", "num_windows"), [(2, 1), (7, 800), (40, 30)])
def test_it_is_scikit_learns_also_where_classes_have_no_windows(beta, num_classes, num_windows):
    random = torch.Generator().manual_seed(num_classes)
    logits_WK = torch.randn(num_windows, num_classes, generator=random)
    labels_W = torch.randint(0, num_classes - 1, (num_windows,), generator=random)
    expected = fbeta_score(
        *(labels_W, logits_WK.argmax(1)), beta=beta, labels=range(num_classes), average="macro", zero_division=0
    )
    assert metric(Params(beta=beta), logits_WK, labels_W) == float(expected)
