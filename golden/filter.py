"""Exact top-k: higher score first, then lower index."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["survivors", "top_k"]


def top_k(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """Positions of the k best scores, best first; of equal scores the lower position comes first.

    Raises
    ------
    ValueError
        k is not in 1..n.
    """
    if not 1 <= k <= len(scores):
        raise ValueError(f"k must be in 1..{len(scores)}, not {k}")
    wide = scores.astype(np.int64) if np.issubdtype(scores.dtype, np.integer) else scores
    return np.argsort(-wide, kind="stable")[:k]


def survivors(scores: NDArray[Any], k: int) -> NDArray[np.intp]:
    """The same positions, ascending: what the next stage ranks."""
    return np.sort(top_k(scores, k))
