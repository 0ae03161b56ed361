"""Means and quantiles of a long run, with intervals: neighbours in a queue depend on each other.

The run is cut into batches that are long against the time that a queue remembers; the spread of
the batches' values gives the interval (batch means; for quantiles: sectioning, which takes the
quantile of the whole run as its middle).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Estimate", "mean_estimate", "quantile_estimate", "settled"]

BATCHES = 20
FEWEST = 5
"""With fewer batches there is no interval."""
_BEYOND = 10
"""Queries of a batch that must lie beyond a quantile."""
# Student's t at 97.5 %, by degrees of freedom from 4 on.
_STUDENT = (2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
            2.120, 2.110, 2.101, 2.093)  # fmt: skip
_WARM_UP_BATCHES = 1000
"""Batches of the rule that finds the end of the warm-up."""


@dataclass(frozen=True)
class Estimate:
    """A value and half of its 95 % interval; None when the run is too short for one."""

    value: float
    half_width: float | None

    @property
    def low(self) -> float:
        """Lower end of the interval; the value without one."""
        return self.value - (self.half_width or 0.0)

    @property
    def high(self) -> float:
        """Upper end of the interval; the value without one."""
        return self.value + (self.half_width or 0.0)

    def holds(self, value: float) -> bool:
        """Whether a value lies in the interval; False without one."""
        return self.half_width is not None and abs(value - self.value) <= self.half_width

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"value": self.value, "half_width": self.half_width}


def _half_width(values: NDArray[np.float64], middle: float) -> float:
    count = len(values)
    spread = math.sqrt(float(((values - middle) ** 2).sum()) / (count - 1))
    return _STUDENT[count - FEWEST] * spread / math.sqrt(count)


def _batches(values: NDArray[Any], count: int) -> NDArray[Any]:
    """[count, length]; what does not fill a batch is left out at the start."""
    length = len(values) // count
    return values[len(values) - count * length :].reshape(count, length)


def mean_estimate(values: NDArray[Any]) -> Estimate:
    """Mean of values in the order of the run."""
    mean = float(values.mean())
    if len(values) < BATCHES:
        return Estimate(mean, None)
    return Estimate(mean, _half_width(_batches(values, BATCHES).mean(axis=1), mean))


def quantile_estimate(values: NDArray[np.float64], share: float) -> Estimate:
    """Quantile of values in the order of the run; far quantiles take fewer, longer batches."""
    whole = float(np.quantile(values, share))
    count = min(BATCHES, int(len(values) * (1 - share) / _BEYOND + 1e-9))
    if count < FEWEST:
        return Estimate(whole, None)
    parts = np.quantile(_batches(values, count), share, axis=1)
    return Estimate(whole, _half_width(parts, whole))


def settled(values: NDArray[np.float64]) -> int:
    """Queries of the warm-up: those whose removal makes the mean most certain (MSER), at most half.

    Of values in the order of the run.
    """
    length = max(5, len(values) // _WARM_UP_BATCHES)
    means = values[: len(values) // length * length].reshape(-1, length).mean(axis=1)
    if len(means) < 10:
        return 0
    left = np.arange(len(means), 0, -1)
    # About the mean of all: squares of large values would cancel.
    centred = means - means.mean()
    total = np.cumsum(centred[::-1])[::-1]
    squares = np.cumsum((centred**2)[::-1])[::-1]
    errors = (squares - total**2 / left) / left.astype(float) ** 2
    return int(np.argmin(errors[: len(means) // 2 + 1])) * length
