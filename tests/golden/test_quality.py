"""Quality figures against hand-computed values."""

from __future__ import annotations

from math import log2

import numpy as np
import pytest

from golden.quality import auc, hit_rate, ndcg, ndcg_all_positive


def test_ndcg() -> None:
    returned, labels = np.array([0, 1, 1]), np.array([0, 1, 1, 0, 0])
    got = 1 / log2(3) + 1 / log2(4)
    assert ndcg(returned, labels) == pytest.approx(got / (1 + 1 / log2(3)))
    assert ndcg_all_positive(returned) == pytest.approx(got / (1 + 1 / log2(3) + 1 / 2))
    assert ndcg(np.array([1, 1]), labels) == 1.0
    assert ndcg(np.array([0, 0]), np.zeros(5)) == 0.0


def test_hit_rate() -> None:
    assert hit_rate(np.array([0, 0, 1])) == 1.0
    assert hit_rate(np.array([0, 0])) == 0.0


def test_auc_counts_pairs() -> None:
    random = np.random.default_rng(1)
    scores = random.integers(0, 6, 40)  # many ties
    labels = random.integers(0, 2, 40)
    pairs = [
        1.0 if p > n else 0.5 if p == n else 0.0
        for p in scores[labels == 1]
        for n in scores[labels == 0]
    ]
    assert auc(scores, labels) == pytest.approx(np.mean(pairs))
    with pytest.raises(ValueError, match="both classes"):
        auc(scores, np.ones(40))
