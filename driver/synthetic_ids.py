"""Synthetic ids: how often each is drawn follows a Zipf law."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from golden.embedding import EMPTY_ID

__all__ = ["ZIPF", "different_ids", "zipf_bags", "zipf_ids"]

ZIPF = 1.05
"""Exponent of the synthetic id distribution."""


def zipf_ids(
    random: np.random.Generator, rows: tuple[int, ...], items: int, order: list[NDArray[np.int64]]
) -> NDArray[np.uint32]:
    """Ids whose rank follows a Zipf law of exponent ``ZIPF``, from uniform draws."""
    columns = []
    for count, permutation in zip(rows, order, strict=True):
        weight = np.arange(1, count + 1, dtype=np.float64) ** -ZIPF
        total = np.cumsum(weight)
        ranks = np.searchsorted(total, random.random(items) * total[-1], side="right")
        columns.append(permutation[np.minimum(ranks, count - 1)])
    return np.stack(columns, axis=1).astype(np.uint32)


def zipf_bags(
    random: np.random.Generator,
    rows: tuple[int, ...],
    bags: tuple[int, ...],
    items: int,
    order: list[NDArray[np.int64]],
) -> NDArray[np.uint32]:
    """Places of items: one id where a table has one place, else any number that fits, none too."""
    ids = zipf_ids(
        random,
        tuple(count for count, size in zip(rows, bags, strict=True) for _ in range(size)),
        items,
        [permutation for permutation, size in zip(order, bags, strict=True) for _ in range(size)],
    )
    first = 0
    for size in bags:
        if size > 1:
            filled = random.integers(0, size + 1, (items, 1))
            ids[:, first : first + size][np.arange(size) >= filled] = EMPTY_ID
        first += size
    return ids


def different_ids(
    random: np.random.Generator, rows: int, count: int, order: NDArray[np.int64]
) -> NDArray[np.uint32]:
    """Ids by the same law, none twice; all in turns where there are fewer than are asked for."""
    weight = np.arange(1, rows + 1, dtype=np.float64) ** -ZIPF
    # The first to come of as many clocks that run at the ids' rates: a draw without replacement.
    drawn = order[np.argsort(random.exponential(size=rows) / weight)]
    return np.resize(drawn, count).astype(np.uint32)
