"""How long a station works on a query."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .profile import LatencyCurve

__all__ = [
    "Affine",
    "Empirical",
    "Exponential",
    "Fixed",
    "Intervals",
    "Recorded",
    "Service",
    "Tabulated",
]


class Service(Protocol):
    """A law of service times."""

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """Seconds of each query, by its items at this station."""
        ...


def _check_seconds(seconds: float, *, zero: bool = False) -> None:
    if not math.isfinite(seconds) or seconds < 0 or (seconds == 0 and not zero):
        raise UserError(f"service time must be above 0 s, not {seconds}")


@dataclass(frozen=True)
class Fixed:
    """The same time for every query."""

    seconds: float

    def __post_init__(self) -> None:
        _check_seconds(self.seconds, zero=True)

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`."""
        return np.full(len(items), self.seconds)


@dataclass(frozen=True)
class Exponential:
    """Memoryless times, for comparison with closed forms."""

    mean_s: float

    def __post_init__(self) -> None:
        _check_seconds(self.mean_s)

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`."""
        return random.standard_exponential(len(items)) * self.mean_s


@dataclass(frozen=True)
class Empirical:
    """Drawn from measured times, whatever the items."""

    samples: tuple[float, ...]

    def __post_init__(self) -> None:
        if not self.samples:
            raise UserError("service times: no samples")
        _check_seconds(min(self.samples), zero=True)
        _check_seconds(max(self.samples))

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`."""
        return np.asarray(self.samples)[random.integers(0, len(self.samples), len(items))]


@dataclass(frozen=True)
class Recorded(Empirical):
    """Measured times in their order, from a random place on and round again.

    Times of a real machine come in slow and fast spells, which single draws would mix.
    """

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`."""
        first = int(random.integers(0, len(self.samples)))
        places = (first + np.arange(len(items))) % len(self.samples)
        return np.asarray(self.samples)[places]


@dataclass(frozen=True)
class Affine:
    """A constant and a share an item: transfers."""

    base_s: float
    item_s: float

    def __post_init__(self) -> None:
        _check_seconds(self.base_s, zero=True)
        _check_seconds(self.item_s, zero=True)

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`."""
        return self.base_s + self.item_s * items.astype(np.float64)


@dataclass(frozen=True)
class Tabulated:
    """A profile's latency by items, times one of its measured factors."""

    curve: LatencyCurve

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`; UserError for items outside the curve."""
        seconds = self.curve.seconds_of(items)
        return seconds * _factors(self.curve, random, len(items))


@dataclass(frozen=True)
class Intervals:
    """A pipelined platform's seconds until it can start the next query."""

    curve: LatencyCurve

    def draw(self, random: np.random.Generator, items: NDArray[np.int64]) -> NDArray[np.float64]:
        """See `Service`; UserError for items outside the curve."""
        return self.curve.interval_of(items)


def _factors(curve: LatencyCurve, random: np.random.Generator, count: int) -> Any:
    if not curve.factors:
        return 1.0
    return np.asarray(curve.factors)[random.integers(0, len(curve.factors), count)]
