"""Requantisation against Python integers, which never overflow and never round."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from golden.requantise import (
    INT8,
    INT16,
    multiplier_and_shift,
    requantise,
    score_multiplier_and_shift,
)

int32 = st.integers(-(1 << 31), (1 << 31) - 1)
multipliers = st.one_of(st.just(0), st.integers(32768, 65535))
shifts = st.integers(1, 47)


def exact(total: int, m: int, s: int, limits: tuple[int, int]) -> int:
    return min(max((total * m + (1 << (s - 1))) >> s, limits[0]), limits[1])


@given(int32, st.integers(-(1 << 30), 1 << 30), multipliers, shifts, st.sampled_from([INT8, INT16]))
@example((1 << 31) - 1, 0, 65535, 47, INT16)
@example(-(1 << 31), 0, 65535, 47, INT16)
@example(-1, 0, 32768, 16, INT8)  # a tie goes up, to 0
@example(1, 0, 32768, 16, INT8)  # a tie goes up, to 1
def test_equals_python_integers(
    total: int, bias: int, m: int, s: int, limits: tuple[int, int]
) -> None:
    accumulator = np.array([total - bias])
    got = requantise(accumulator, np.array([bias]), np.array([m]), np.array([s]), limits)
    assert got.tolist() == [exact(total, m, s, limits)]


def test_ties_go_up() -> None:
    halves = np.array([-3, -1, 1, 3])
    got = requantise(halves, 0, 32768, 16)
    assert got.tolist() == [-1, 0, 1, 2]


def test_identity_and_clamp() -> None:
    values = np.arange(-300, 300)
    got = requantise(values, 0, 32768, 15)
    assert got.tolist() == np.clip(values, -128, 127).tolist()


@pytest.mark.parametrize("total", [1 << 31, -(1 << 31) - 1])
def test_overflow_is_an_error(total: int) -> None:
    with pytest.raises(OverflowError, match="int32"):
        requantise(np.array([total]), 0, 0, 1)


@given(st.floats(1e-9, 32767, allow_subnormal=False))
@example(0.99999999)
@example(1.0)
def test_multiplier_is_nearest(ratio: float) -> None:
    m, s = multiplier_and_shift(ratio)
    assert 32768 <= m <= 65535 and 1 <= s <= 47
    assert abs(Fraction(m, 1 << s) / Fraction(ratio) - 1) <= Fraction(1, 65535)


def test_multiplier_out_of_range() -> None:
    assert multiplier_and_shift(0.0) == (0, 1)
    assert multiplier_and_shift(2.0**-40) == (0, 1)
    assert multiplier_and_shift(1e9) == (65535, 1)
    with pytest.raises(ValueError, match="not nan"):
        multiplier_and_shift(float("nan"))


@given(st.integers(0, (1 << 31) - 1))
@example(32767)
@example(32768)
@example(1 << 24)
def test_score_never_saturates(bound: int) -> None:
    m, s = score_multiplier_and_shift(bound)
    assert 32768 <= m <= 65535 and 1 <= s <= 47
    wide = (-(1 << 40), 1 << 40)
    assert exact(bound, m, s, wide) <= 32767 and exact(-bound, m, s, wide) >= -32768
    if bound >= 32767:  # no more than a bit of the range is given away
        assert exact(bound, m, s, wide) >= 16383
    else:
        assert exact(bound, m, s, wide) == bound
