"""Requantisation: the one rounding rule of the device, and how its constants are found."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "INT8",
    "INT16",
    "MAX_SHIFT",
    "multiplier_and_shift",
    "requantise",
    "score_multiplier_and_shift",
]

INT8 = (-128, 127)
INT16 = (-32768, 32767)
MAX_SHIFT = 47


def requantise(
    accumulator: ArrayLike,
    bias: ArrayLike,
    multiplier: ArrayLike,
    shift: ArrayLike,
    limits: tuple[int, int] = INT8,
) -> NDArray[np.int64]:
    """`clamp(((accumulator + bias) * multiplier + (1 << (shift - 1))) >> shift)`, exactly.

    Floor shift: ties go towards +infinity. All arguments broadcast; the last axis is the channel.

    Raises
    ------
    OverflowError
        accumulator + bias does not fit int32.
    """
    total = np.asarray(accumulator, np.int64) + np.asarray(bias, np.int64)
    if total.size and (total.max() >= 1 << 31 or total.min() < -(1 << 31)):
        raise OverflowError("accumulator + bias does not fit int32")
    # 32 + 16 bits and a rounding constant of at most 2^46: int64 holds every value.
    shifts = np.asarray(shift, np.int64)
    product = total * np.asarray(multiplier, np.int64) + (np.int64(1) << (shifts - 1))
    return np.clip(product >> shifts, *limits)


def multiplier_and_shift(ratio: float) -> tuple[int, int]:
    """(m, s) with m / 2**s nearest to `ratio`, m in 32768..65535, s in 1..47.

    A ratio too small for s = 47 turns every int32 into 0, which m = 0 does as well; one too large
    saturates at the largest pair, as every value but 0 would.
    """
    if not ratio >= 0 or not math.isfinite(ratio):
        raise ValueError(f"ratio must be a number of at least 0, not {ratio}")
    if ratio == 0:
        return 0, 1
    fraction, exponent = math.frexp(ratio)
    m, s = round(fraction * 65536), 16 - exponent
    if m == 65536:
        m, s = 32768, s - 1
    if s > MAX_SHIFT:
        return 0, 1
    if s < 1:
        return 65535, 1
    return m, s


def score_multiplier_and_shift(bound: int) -> tuple[int, int]:
    """(m, s), at most the identity, that keeps |accumulator + bias| <= `bound` inside int16."""
    ratio = min(1.0, INT16[1] / max(bound, 1))
    fraction, exponent = math.frexp(ratio)
    return math.floor(fraction * 65536), 16 - exponent
