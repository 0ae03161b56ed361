"""Choice of scales from calibration values."""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

__all__ = ["Method", "choose_scale", "choose_shifts"]

Method = Literal["max", "percentile", "mse"]
"""How much of the calibration range int8 covers: all of it, all but 0.01 % of the values, or what
makes the squared error least."""

PERCENTILE = 99.99
MSE_SAMPLES = 1 << 15
"""Values looked at, in even strides: enough for a scale, and quantising stays a second."""
SHIFT_SAMPLES = 1 << 11
"""Rows looked at per column; even strides, as above."""
LARGEST_SHIFT = 15


def choose_scale(values: NDArray[Any], method: Method) -> float:
    """Real value of one unit of an int8 tensor with these values; 1.0 when all are zero."""
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
        peak = float(min(candidates[::-1], key=lambda top: _squared_error(sample, top / 127)))
    elif method != "max":
        raise ValueError(f"method must be 'max', 'percentile' or 'mse', not {method!r}")
    return peak / 127


def _squared_error(magnitude: NDArray[np.float64], scale: float) -> float:
    rounded = np.minimum(np.rint(magnitude / scale), 127) * scale
    return float(((rounded - magnitude) ** 2).sum())


def choose_shifts(values: NDArray[np.float64], method: Method) -> NDArray[np.uint8]:
    """Right shift, 0..15, of each column of integers [n, columns] so that it fits int8."""
    if method == "mse":
        values = values[:: max(1, values.size // (values.shape[1] * SHIFT_SAMPLES))]
        errors = []
        for shift in range(LARGEST_SHIFT + 1):
            unit = float(1 << shift)
            rounded = np.clip(np.floor(values / unit + 0.5), -128, 127) * unit
            errors.append(((rounded - values) ** 2).sum(axis=0))
        return np.argmin(errors, axis=0).astype(np.uint8)
    magnitude = np.abs(values)
    peak = (
        np.percentile(magnitude, PERCENTILE, axis=0)
        if method == "percentile"
        else magnitude.max(axis=0, initial=0)
    )
    fits = [np.floor(peak / float(1 << s) + 0.5) <= 127 for s in range(LARGEST_SHIFT + 1)]
    return np.argmax([*fits[:-1], np.ones_like(fits[-1])], axis=0).astype(np.uint8)
