"""Pareto fronts over any number of objectives."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike

__all__ = ["front"]


def front(values: ArrayLike, larger: Sequence[bool]) -> list[int]:
    """Places of the rows that no other row dominates, in their order.

    A row dominates another when it is at least as good everywhere and better somewhere; of equal
    rows the first one stays.

    Parameters
    ----------
    values
        [rows, objectives]
    larger
        For each objective: larger is better.
    """
    table = np.asarray(values, np.float64)
    if table.size == 0:
        return []
    table = np.where(np.asarray(larger), -table, table)
    order = np.lexsort(table.T[::-1])
    kept: list[int] = []
    for place in order:
        # Sorted: whatever dominates a row, or equals it, comes before it.
        mine = table[place]
        if not any(np.all(table[other] <= mine) for other in kept):
            kept.append(int(place))
    return sorted(kept)
