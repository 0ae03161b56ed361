"""Metrics of a query by hand; the bootstrap's interval covers as often as it says."""

from __future__ import annotations

import math

import numpy as np
import pytest

from driver.quality.metrics import bootstrap, of_query


def test_metrics_by_hand() -> None:
    labels = np.array([0, 1, 0, 1, 0])
    returned = np.array([3, 0], np.uint32)
    alone = np.array([3, 1], np.uint32)
    got = of_query(labels, returned, np.array([5, 9, 1, 8, 2]), alone)
    assert got.ndcg == pytest.approx(1 / (1 + 1 / math.log2(3)))
    assert got.ndcg_all_positive == got.ndcg
    assert (got.hit_rate, got.auc, got.recall) == (1.0, 1.0, 0.5)
    none = of_query(np.zeros(5), returned, np.arange(5), alone)
    assert none.ndcg == 0 and none.hit_rate == 0 and math.isnan(none.auc)


def test_interval_covers() -> None:
    random = np.random.default_rng(1)
    hits = 0
    for trial in range(100):
        found = bootstrap(list(random.normal(3, 1, 60)), seed=trial)
        assert found is not None and found.low <= found.mean <= found.high
        hits += found.low <= 3 <= found.high
    assert 88 <= hits <= 100


def test_pairing_and_missing_values() -> None:
    values = list(np.random.default_rng(1).normal(size=50))
    shifted = bootstrap([v + 1 for v in values], seed=4)
    plain = bootstrap(values, seed=4)
    assert plain is not None and shifted is not None
    assert shifted.low - plain.low == pytest.approx(1)
    assert shifted.mean - plain.mean == pytest.approx(1)
    assert bootstrap([float("nan")], seed=1) is None
    one = bootstrap([float("nan"), 2.0], seed=1)
    assert one is not None and (one.mean, one.low, one.high) == (2.0, 2.0, 2.0)
