"""Quality of ranked queries, with bootstrap intervals over queries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.quality import auc, hit_rate, ndcg, ndcg_all_positive

__all__ = ["Estimate", "QueryMetrics", "bootstrap", "of_query"]

RESAMPLES = 2000
PARTS = 20
"""Resamples are drawn in so many parts: bounds the memory of long evaluations."""
LEVEL = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over queries and its 95 % interval."""

    mean: float
    low: float
    high: float

    def json(self) -> dict[str, float]:
        """For the output."""
        return {"mean": self.mean, "low": self.low, "high": self.high}


@dataclass(frozen=True, kw_only=True)
class QueryMetrics:
    """One query; all in 0..1."""

    ndcg: float
    ndcg_all_positive: float
    """With RecPipe's ideal: k positive items."""
    hit_rate: float
    auc: float
    """Of the last stage on all items; NaN when all labels are equal."""
    recall: float
    """Share of the last stage's own k best items that the funnel returned."""


def of_query(
    labels: NDArray[Any],
    returned: NDArray[np.uint32],
    last_scores: NDArray[Any],
    alone: NDArray[np.uint32],
) -> QueryMetrics:
    """Metrics of one query.

    Parameters
    ----------
    labels
        Of all items.
    returned
        Items that the funnel returned, best first.
    last_scores
        The last stage's score of every item.
    alone
        The k items that the last stage would return without the stages before it.
    """
    both = len(np.unique(labels)) > 1
    return QueryMetrics(
        ndcg=ndcg(labels[returned], labels),
        ndcg_all_positive=ndcg_all_positive(labels[returned]),
        hit_rate=hit_rate(labels[returned]),
        auc=auc(last_scores, labels) if both else float("nan"),
        recall=float(np.isin(alone, returned).mean()),
    )


def bootstrap(values: Sequence[float], *, seed: int) -> Estimate | None:
    """Mean of values and its percentile bootstrap interval; NaN is left out, None without values.

    The same seed and number of values draw the same queries, so differences are paired.
    """
    numbers = np.asarray(values, np.float64)
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) == 0:
        return None
    random = np.random.default_rng(seed)
    means = [
        numbers[random.integers(0, len(numbers), (RESAMPLES // PARTS, len(numbers)))].mean(axis=1)
        for _ in range(PARTS)
    ]
    low, high = np.quantile(np.concatenate(means), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(numbers.mean()), float(low), float(high))
