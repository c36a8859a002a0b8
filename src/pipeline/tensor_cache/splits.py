"""Which rows go to train, val and test: folds of whole groups, so that no group is in two splits."""

from __future__ import annotations

import numpy as np

from pipeline.tensor_cache.params import Params
from pipeline.tensor_cache.segments import Segments
from trackstack import UserError


def deal_into_folds(segments: Segments, label_T: np.ndarray, folds: int) -> np.ndarray:
    """The fold of each recording, or row, int64 [G]: they are shuffled, then dealt out class by class.

    Without classes they are dealt out from the lowest to the highest, so that each fold has some of every size. The
    shuffle is NumPy's legacy one, whose numbers are promised never to change.

    Args:
        segments: whose groups are the recordings or rows.
        label_T: the class of each row, int [T], or its targets, float32 [T, K], of which the first counts.
        folds: how many.
    """
    num_parts = len(segments.names)
    shuffled = np.random.RandomState(0).permutation(num_parts)
    if label_T.ndim == 1:
        _, first = np.unique(segments.groups, return_index=True)
        stratum = label_T[segments.edges[first]]
    else:
        stratum = _quantiles(segments, label_T[:, 0], folds)
    by_stratum = shuffled[np.argsort(stratum[shuffled], kind="stable")]
    fold = np.empty(num_parts, np.int64)
    fold[by_stratum] = np.arange(num_parts) % folds
    return fold


def refuse_many_folds(segments: Segments, params: Params) -> None:
    """UserError where there are fewer recordings, or rows, than folds to deal them to."""
    num_parts = len(segments.names)
    if num_parts < params.folds:
        what = "recordings" if num_parts < segments.edges[-1] else "rows"
        raise UserError(
            f"params.yaml: tensor_cache.folds is {params.folds}; expected at most {num_parts}, the {what}"
        )


def _quantiles(segments: Segments, amount_T: np.ndarray, folds: int) -> np.ndarray:
    """int64 [parts]: the number of each part's quantile, which holds as many parts as there are folds."""
    group_T = np.repeat(segments.groups, np.diff(segments.edges))
    mean = np.bincount(group_T, weights=amount_T) / np.bincount(group_T)
    rank = np.empty(len(mean), np.int64)
    rank[np.argsort(mean, kind="stable")] = np.arange(len(mean))
    return rank // folds


def split_groups(rows_of_groups: dict, params: Params) -> dict[str, list]:
    """The groups of each split: fold `fold` is the test split, the next one validation if any, the rest training.

    Folds hold whole groups and are balanced by rows: the largest group first, each to the fold that has least, as
    scikit-learn's `GroupKFold` does. Over all folds every group is tested once and serves for validation once.
    """
    groups = sorted(rows_of_groups)
    if len(groups) < params.folds:
        raise UserError(
            f"params.yaml: tensor_cache.folds is {params.folds}; expected at most {len(groups)}, "
            "the number of groups in the data"
        )
    folds: list[list] = [[] for _ in range(params.folds)]
    num_rows = np.zeros(params.folds, np.int64)
    for index in np.argsort([rows_of_groups[group] for group in groups], kind="stable")[::-1]:
        fold = int(np.argmin(num_rows))
        folds[fold].append(groups[index])
        num_rows[fold] += rows_of_groups[groups[index]]
    test = sorted(folds[params.fold])
    val = sorted(folds[(params.fold + 1) % params.folds]) if params.validation else []
    held_out = {*test, *val}
    return {"train": [group for group in groups if group not in held_out], "val": val, "test": test}
