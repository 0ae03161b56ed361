"""When queries arrive: steady, in bursts, by the hour of the day, or as a trace says.

Every law is a unit-rate Poisson stream (or the trace) on a clock that runs at the rate of the
moment. With equal random numbers a higher rate therefore brings every query earlier, which makes
searches over the rate smooth.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError

__all__ = ["Arrivals", "Bursty", "Diurnal", "Poisson", "Trace", "arrivals", "read_trace"]

_DAY_POINTS = 4096
"""Points of a day's integrated rate; between them the rate is constant."""


class Arrivals(Protocol):
    """A law of arrivals."""

    @property
    def rate(self) -> float:
        """Queries a second, on average."""
        ...

    def at_rate(self, rate: float) -> Arrivals:
        """The same law at another average rate."""
        ...

    def times(self, random: np.random.Generator, queries: int) -> NDArray[np.float64]:
        """Arrival times in seconds, rising; at most ``queries`` of them."""
        ...


def _check_rate(rate: float) -> None:
    if not (math.isfinite(rate) and rate > 0):
        raise UserError(f"load must be above 0 queries a second, not {rate:g}")


def _check(name: str, value: float, low: float, high: float) -> None:
    if not low <= value <= high:
        raise UserError(f"{name} must be in {low:g}..{high:g}, not {value:g}")


def _unit(random: np.random.Generator, queries: int) -> NDArray[np.float64]:
    return np.cumsum(random.standard_exponential(queries))


@dataclass(frozen=True)
class Poisson:
    """Exponential gaps."""

    rate: float

    def __post_init__(self) -> None:
        _check_rate(self.rate)

    def at_rate(self, rate: float) -> Poisson:
        """The same law at another rate."""
        return Poisson(rate)

    def times(self, random: np.random.Generator, queries: int) -> NDArray[np.float64]:
        """See `Arrivals`."""
        return _unit(random, queries) / self.rate


@dataclass(frozen=True)
class Bursty:
    """A Markov-modulated Poisson process of two states: calm, and bursts of a higher rate.

    Both states last exponential times. The length of bursts is in seconds whatever the rate.
    """

    rate: float
    ratio: float = 4.0
    """Rate inside a burst over the calm one."""
    share: float = 0.1
    """Of the time, inside bursts."""
    burst_s: float = 1.0
    """Mean length of a burst."""

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        _check("ratio of bursts", self.ratio, 1, 1e6)
        _check("share of bursts", self.share, 1e-6, 1 - 1e-6)
        _check("burst_s", self.burst_s, 1e-9, 1e9)

    def at_rate(self, rate: float) -> Bursty:
        """The same law at another average rate."""
        return replace(self, rate=rate)

    def times(self, random: np.random.Generator, queries: int) -> NDArray[np.float64]:
        """See `Arrivals`."""
        points = _unit(random, queries)
        calm = self.rate / (1 - self.share + self.share * self.ratio)
        means = np.array([self.burst_s * (1 - self.share) / self.share, self.burst_s])
        rates = np.array([calm, calm * self.ratio])
        state = np.array([0, 1]) if random.random() >= self.share else np.array([1, 0])
        clock, expected = [np.zeros(1)], [np.zeros(1)]
        # Sojourns until the expected number of arrivals covers all points.
        while expected[-1][-1] < points[-1]:
            left = points[-1] - expected[-1][-1]
            pairs = 16 + int(1.2 * left / float(means @ rates))
            spans = random.standard_exponential((pairs, 2)) * means[state]
            steps = (spans * rates[state]).ravel()
            clock.append(clock[-1][-1] + np.cumsum(spans.ravel()))
            expected.append(expected[-1][-1] + np.cumsum(steps))
        return np.interp(points, np.concatenate(expected), np.concatenate(clock))


@dataclass(frozen=True)
class Diurnal:
    """A rate that swings as a sine over a period, starting at its mean and rising."""

    rate: float
    swing: float = 0.5
    """Highest rate over the mean, minus 1."""
    period_s: float = 86_400.0

    def __post_init__(self) -> None:
        _check_rate(self.rate)
        _check("swing", self.swing, 0, 1)
        _check("period_s", self.period_s, 1e-9, 1e12)

    def at_rate(self, rate: float) -> Diurnal:
        """The same law at another average rate."""
        return replace(self, rate=rate)

    def times(self, random: np.random.Generator, queries: int) -> NDArray[np.float64]:
        """See `Arrivals`."""
        days, rest = np.divmod(_unit(random, queries) / (self.rate * self.period_s), 1.0)
        turn = np.linspace(0, 1, _DAY_POINTS + 1)
        expected = turn + self.swing * (1 - np.cos(2 * np.pi * turn)) / (2 * np.pi)
        return (days + np.interp(rest, expected, turn)) * self.period_s


@dataclass(frozen=True, eq=False)
class Trace:
    """Recorded arrival times in seconds, and the queries' items where recorded.

    Raises
    ------
    UserError
        Fewer than two queries, times that are no rising finite numbers, items below 1.
    """

    seconds: NDArray[np.float64]
    items: NDArray[np.int64] | None = None

    def __post_init__(self) -> None:
        if len(self.seconds) < 2:
            raise UserError(f"trace: needs at least 2 queries, not {len(self.seconds)}")
        if not np.isfinite(self.seconds).all():
            where = int(np.flatnonzero(~np.isfinite(self.seconds))[0])
            raise UserError(f"trace: time of query {where} is {self.seconds[where]}")
        back = np.flatnonzero(np.diff(self.seconds) < 0)
        if len(back):
            raise UserError(f"trace: query {int(back[0]) + 1} arrives before the one ahead of it")
        if self.seconds[-1] == self.seconds[0]:
            raise UserError("trace: all queries arrive at once, so it has no rate")
        if self.items is not None and len(self.items) != len(self.seconds):
            raise UserError(f"trace: {len(self.items)} sizes for {len(self.seconds)} queries")
        if self.items is not None and self.items.min() < 1:
            where = int(np.argmin(self.items))
            raise UserError(f"trace: query {where} has {self.items[where]} items, needs 1")

    @property
    def rate(self) -> float:
        """Queries a second, on average."""
        return (len(self.seconds) - 1) / float(self.seconds[-1] - self.seconds[0])

    def at_rate(self, rate: float) -> Trace:
        """The same trace, played faster or slower."""
        _check_rate(rate)
        return Trace((self.seconds - self.seconds[0]) * (self.rate / rate), self.items)

    def times(self, random: np.random.Generator, queries: int) -> NDArray[np.float64]:
        """The trace's times from 0; the random numbers are not used."""
        return (self.seconds - self.seconds[0])[:queries]


def read_trace(path: Path) -> Trace:
    """Read a trace: a line a query, seconds and, after a comma or space, items; ``#`` comments.

    Raises
    ------
    UserError
        The file cannot be read, is empty, or has a line that is none; the message names it.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(f"cannot read trace {path}: {error}") from None
    seconds, items = [], []
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split("#")[0].replace(",", " ").split()
        if not words:
            continue
        try:
            seconds.append(float(words[0]))
            items += [int(word) for word in words[1:2]]
        except ValueError:
            raise UserError(
                f"{path}: line {number} must be SECONDS [ITEMS], not {line!r}"
            ) from None
    if items and len(items) != len(seconds):
        raise UserError(f"{path}: {len(items)} of {len(seconds)} queries have items: all or none")
    try:
        return Trace(np.array(seconds), np.array(items, np.int64) if items else None)
    except UserError as error:
        raise UserError(f"{path}: {error}") from None


def arrivals(law: str, rate: float) -> Arrivals:
    """A law by name with its default shape: ``poisson``, ``bursty`` or ``diurnal``.

    Raises
    ------
    UserError
        Unknown law, or a rate that is not above 0.
    """
    laws: dict[str, type[Poisson] | type[Bursty] | type[Diurnal]] = {
        "poisson": Poisson,
        "bursty": Bursty,
        "diurnal": Diurnal,
    }
    if law not in laws:
        raise UserError(f"unknown arrivals {law!r}; known: {', '.join(laws)}")
    return laws[law](rate)
