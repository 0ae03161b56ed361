"""Hash encoders as arrays of a file: [k, 4] of a, b, p, m, as MP-Rec's checkpoints hold them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.dhe import HashEncoder, Transform

__all__ = ["hash_array", "hash_encoder"]


def hash_array(encoder: HashEncoder) -> NDArray[np.int64]:
    """[k, 4] of a, b, p, m."""
    m = np.full(encoder.k, encoder.m, np.int64)
    return np.stack([encoder.a, encoder.b, encoder.p, m], axis=1)


def hash_encoder(array: NDArray[Any], transform: Transform = "uniform") -> HashEncoder:
    """Encoder from [k, 4] of a, b, p, m.

    Raises
    ------
    ValueError
        Not such an array, different m, or constants out of range.
    """
    if array.ndim != 2 or array.shape[1] != 4 or len(array) < 1:
        raise ValueError(f"hashes must be [k, 4] of a, b, p, m, not {list(array.shape)}")
    a, b, p, m = array.astype(np.int64).T
    if (m != m[0]).any():
        raise ValueError("m must be the same for all hashes of a feature")
    return HashEncoder(a=a, b=b, p=p, m=int(m[0]), transform=transform)
