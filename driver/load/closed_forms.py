"""Queues whose latency is known exactly: what the simulation is held against.

Kendall's notation; ``rate`` is that of exponential arrivals, services are exponential with a mean
of ``service_s`` (M) or all of ``service_s`` (D). Every class gives the mean of the time in the
system and the share of queries that spend more than a given time.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

from ..errors import UserError

__all__ = ["ClosedForm", "MD1", "MMC", "Tandem", "quantile"]


class ClosedForm(Protocol):
    """An exactly known queue."""

    @property
    def mean(self) -> float:
        """Mean seconds in the system."""
        ...

    def tail(self, seconds: float) -> float:
        """Share of queries that spend more than ``seconds`` in the system."""
        ...


def _check(load: float) -> None:
    if not 0 < load < 1:
        raise UserError(f"a queue has a steady state for loads in 0..1, not {load:g}")


def quantile(form: ClosedForm, share: float) -> float:
    """Seconds that a share of the queries does not exceed, by bisection."""
    low, high = 0.0, form.mean
    while form.tail(high) > 1 - share:
        low, high = high, 2 * high
    for _ in range(60):
        middle = (low + high) / 2
        if form.tail(middle) > 1 - share:
            low = middle
        else:
            high = middle
    return high


def _two_exponentials(first: float, second: float, seconds: float) -> float:
    """Tail of the sum of two exponential times of given rates."""
    if math.isclose(first, second, rel_tol=1e-9):
        return math.exp(-first * seconds) * (1 + first * seconds)
    a, b = math.exp(-first * seconds), math.exp(-second * seconds)
    return (second * a - first * b) / (second - first)


@dataclass(frozen=True)
class MMC:
    """M/M/c by Erlang's C formula."""

    rate: float
    service_s: float
    servers: int = 1

    def __post_init__(self) -> None:
        _check(self.rate * self.service_s / self.servers)

    @property
    def _waits(self) -> float:
        """Share of queries that wait."""
        offered = self.rate * self.service_s
        blocked = 1.0
        for n in range(1, self.servers + 1):
            blocked = offered * blocked / (n + offered * blocked)
        return blocked / (1 - offered / self.servers * (1 - blocked))

    @property
    def _drain(self) -> float:
        return self.servers / self.service_s - self.rate

    @property
    def mean(self) -> float:
        """See `ClosedForm`."""
        return self.service_s + self._waits / self._drain

    def tail(self, seconds: float) -> float:
        """See `ClosedForm`."""
        served = 1 / self.service_s
        waits = self._waits
        behind = _two_exponentials(served, self._drain, seconds)
        return (1 - waits) * math.exp(-served * seconds) + waits * behind


@dataclass(frozen=True)
class MD1:
    """M/D/1 by Erlang's sum, whose terms cancel: good to some 20 services."""

    rate: float
    service_s: float

    def __post_init__(self) -> None:
        _check(self.rate * self.service_s)

    @property
    def mean(self) -> float:
        """See `ClosedForm`."""
        load = self.rate * self.service_s
        return self.service_s * (1 + load / (2 * (1 - load)))

    def tail(self, seconds: float) -> float:
        """See `ClosedForm`."""
        wait = seconds - self.service_s
        if wait < 0:
            return 1.0
        total = 0.0
        for k in range(int(wait / self.service_s) + 1):
            x = self.rate * (k * self.service_s - wait)
            total += x**k / math.factorial(k) * math.exp(-x)
        return 1 - (1 - self.rate * self.service_s) * total


@dataclass(frozen=True)
class Tandem:
    """Two M/M/1 in a row: times in both are independent and exponential (Burke, Reich)."""

    rate: float
    first_s: float
    second_s: float

    def __post_init__(self) -> None:
        _check(self.rate * self.first_s)
        _check(self.rate * self.second_s)

    @property
    def mean(self) -> float:
        """See `ClosedForm`."""
        return 1 / (1 / self.first_s - self.rate) + 1 / (1 / self.second_s - self.rate)

    def tail(self, seconds: float) -> float:
        """See `ClosedForm`."""
        return _two_exponentials(
            1 / self.first_s - self.rate, 1 / self.second_s - self.rate, seconds
        )
