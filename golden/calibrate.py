"""Choice of scales from calibration values."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["METHODS", "Method", "choose_method", "choose_scale", "choose_shifts", "squared_error"]

Method = Literal["max", "percentile", "mse", "auto"]
"""How much of the calibration range int8 covers: all of it, all but 0.01 % of the values, or what
makes the squared error least; `auto`: which of them errs least on values that it was not chosen
with."""
METHODS: tuple[Method, ...] = ("max", "percentile", "mse")
"""What `auto` chooses among; of equal errors the first."""

PERCENTILE = 99.99
MSE_SAMPLES = 1 << 15
"""Values looked at, in even strides: enough for a scale, and quantising stays a second."""
SHIFT_SAMPLES = 1 << 11
"""Rows looked at per column; even strides, as above."""
LARGEST_SHIFT = 15


def choose_scale(values: NDArray[Any], method: Method) -> float:
    """Real value of one unit of an int8 tensor with these values; 1.0 when all are zero."""
    if method == "auto":
        method = choose_method(values)
    magnitude = np.abs(values).ravel()
    peak = float(magnitude.max(initial=0))
    if peak == 0:
        return 1.0
    if method == "percentile":
        # A tensor that is nearly always zero would lose all of its values.
        peak = float(np.percentile(magnitude, PERCENTILE)) or peak
    elif method == "mse":
        stride = max(1, len(magnitude) // MSE_SAMPLES)
        while math.gcd(stride, values.shape[-1]) > 1:  # or some channels would never be looked at
            stride += 1
        sample = magnitude[::stride].astype(np.float64)
        candidates = peak * np.linspace(0.2, 1.0, 41)
        peak = float(min(candidates[::-1], key=lambda top: squared_error(sample, top / 127)))
    elif method != "max":
        raise ValueError(f"method must be 'max', 'percentile', 'mse' or 'auto', not {method!r}")
    return peak / 127


def choose_method(values: NDArray[Any]) -> Method:
    """Which method's scale, from every other row, errs least on the rows between."""
    even, odd = values[0::2], np.abs(values[1::2])
    if not even.any() or not odd.any():
        return METHODS[0]
    errors = {method: squared_error(odd, choose_scale(even, method)) for method in METHODS}
    return min(METHODS, key=lambda method: errors[method])


def squared_error(magnitude: NDArray[Any], scale: float) -> float:
    """Sum of the squared errors of magnitudes rounded to int8."""
    rounded = np.minimum(np.rint(magnitude / scale), 127) * scale
    return float(((rounded - magnitude) ** 2).sum())


def _shift_errors(values: NDArray[np.float64], shift: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Squared error of each column."""
    unit = np.exp2(shift.astype(np.float64))
    rounded = np.clip(np.floor(values / unit + 0.5), -128, 127) * unit
    return np.asarray(((rounded - values) ** 2).sum(axis=0))


def choose_shifts(values: NDArray[np.float64], method: Method) -> NDArray[np.uint8]:
    """Right shift, 0..15, of each column of integers [n, columns] so that it fits int8."""
    if method == "auto":
        chosen = [choose_shifts(values[0::2], each) for each in METHODS]
        errors = [_shift_errors(values[1::2], shift) for shift in chosen]
        best = np.argmin(errors, axis=0)
        whole = np.stack([choose_shifts(values, each) for each in METHODS])
        return np.take_along_axis(whole, best[None], axis=0)[0]
    if method == "mse":
        values = values[:: max(1, values.size // (values.shape[1] * SHIFT_SAMPLES))]
        errors = []
        for shift in range(LARGEST_SHIFT + 1):
            errors.append(_shift_errors(values, np.full(values.shape[1], shift, np.uint8)))
        return np.argmin(errors, axis=0).astype(np.uint8)
    magnitude = np.abs(values)
    peak = (
        np.percentile(magnitude, PERCENTILE, axis=0)
        if method == "percentile"
        else magnitude.max(axis=0, initial=0)
    )
    fits = [np.floor(peak / float(1 << s) + 0.5) <= 127 for s in range(LARGEST_SHIFT + 1)]
    return np.argmax([*fits[:-1], np.ones_like(fits[-1])], axis=0).astype(np.uint8)
