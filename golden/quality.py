"""Ranking quality, all in 0..1: NDCG (two ideals), hit rate, area under the ROC curve."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["auc", "hit_rate", "ndcg", "ndcg_all_positive"]


def _gain(labels: NDArray[Any]) -> float:
    """Discounted cumulative gain of labels in ranked order."""
    return float((labels / np.log2(np.arange(len(labels)) + 2)).sum())


def ndcg(returned: NDArray[Any], labels: NDArray[Any]) -> float:
    """NDCG@k: gain of the returned items over that of the best k items of the query.

    Parameters
    ----------
    returned : true labels of the k returned items, best first
    labels : true labels of all items of the query; without a positive one the result is 0
    """
    ideal = _gain(np.sort(np.asarray(labels))[::-1][: len(returned)])
    return _gain(np.asarray(returned)) / ideal if ideal > 0 else 0.0


def ndcg_all_positive(returned: NDArray[Any]) -> float:
    """NDCG@k with RecPipe's ideal, k positive items, whether or not the query has so many."""
    return _gain(np.asarray(returned)) / _gain(np.ones(len(returned)))


def hit_rate(returned: NDArray[Any]) -> float:
    """HR@k of one query: 1 when a positive item is among those returned, else 0."""
    return float(np.any(np.asarray(returned) > 0))


def auc(scores: NDArray[Any], labels: NDArray[Any]) -> float:
    """Chance that a positive item outscores a negative one, ties counting half.

    Raises
    ------
    ValueError
        Only one class is present.
    """
    positive = np.asarray(labels) > 0
    positives = int(positive.sum())
    negatives = len(positive) - positives
    if positives == 0 or negatives == 0:
        raise ValueError("labels must hold both classes")
    _, inverse, counts = np.unique(np.asarray(scores), return_inverse=True, return_counts=True)
    rank = (np.cumsum(counts) - (counts - 1) / 2)[inverse]  # mean rank of equal scores, from 1
    return float((rank[positive].sum() - positives * (positives + 1) / 2) / (positives * negatives))
