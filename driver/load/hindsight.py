"""What an online scheduler could have done at best on the same queries.

Two answers. A dispatcher that knows how long every query takes on every path, but not what is still
to come: what is lost against it is lost to wrong predictions. And a bound that no schedule can
beat, whatever it knows: servers are priced, and every query takes the path that leaves most.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from .online import Choice, PathScheduler
from .paths import Path
from .resident import TOP, Option, Resident

__all__ = ["InformedScheduler", "schedule_bound"]

_ROUNDS = 4
_STEPS = 40
_PRICES = 60
_GOLDEN = (math.sqrt(5) - 1) / 2


class InformedScheduler(PathScheduler):
    """The same rule with the true service times in place of predictions."""

    def choose_knowing(self, now: float, items: int, factors: Sequence[float]) -> Choice | None:
        """Decide for a query that takes ``factors`` times each path's latency; see `choose`."""
        keep = 1.0 if self._last is None else math.exp((self._last - now) * self._per_memory)
        self._last = now
        self._seen = 1.0 - (1.0 - self._seen) * keep
        found: list[tuple[float, Resident, Option, float]] = []
        nearest = self._platforms[0], math.inf
        for platform in self._platforms:
            platform.rate *= keep
            wait = max(0.0, min(platform.ready) - now)
            here = wait * platform.per_step
            level = int(platform.rate * platform.level_s / self._seen) if self._seen else 0
            values = platform.values[min(level, TOP)]
            for option in platform.options:
                ends = wait + option.latency[items] * factors[option.number]
                if ends < nearest[1]:
                    nearest = platform, ends
                if ends <= self._sla:
                    after = values[int(here + option.steps[items])]
                    gain = option.quality * items + after - values[int(here)]
                    found.append((gain, platform, option, wait))
        if not found:
            nearest[0].rate += self._per_memory
            return None
        _, platform, option, wait = max(found, key=lambda each: each[0])
        choice = self._dispatch(now, items, platform, option, wait)
        late = (factors[option.number] - 1) * option.occupied[items]
        ready = platform.ready
        ready[ready.index(now + wait + option.occupied[items])] += late
        return choice


def schedule_bound(
    paths: Sequence[Path],
    seconds: float,
    occupied: NDArray[np.float64],
    worth: NDArray[np.float64],
) -> float:
    """Worth of served queries that no schedule exceeds, whatever it knows.

    The servers of each platform have so many seconds, and a query goes to one path or none. With a
    price on a platform's seconds, each query takes the path that leaves most; the sum, with the
    price of all seconds, is a bound for every price (Lagrangian duality); the prices are sought
    that make it least.

    Parameters
    ----------
    seconds
        Of each server, from the first arrival to the last one's target.
    occupied, worth
        [path, query]: seconds of a server, true ones; what serving is worth, 0 where the path is
        too slow for the target.
    """
    names = list(dict.fromkeys(path.platform for path in paths))
    place = np.array([names.index(path.platform) for path in paths])
    supply = np.zeros(len(names))
    for path in paths:
        supply[names.index(path.platform)] = seconds * path.servers
    each = worth / occupied

    def total(prices: NDArray[np.float64]) -> float:
        left = (worth - prices[place, None] * occupied).max(axis=0)
        return float(prices @ supply + np.maximum(left, 0.0).sum())

    # All prices together first: one at a time they would stay at 0, where others are free.
    middle = np.array([np.median(each[place == n].max(axis=0)) for n in range(len(names))])
    prices = min((middle * 3 * n / _PRICES for n in range(_PRICES + 1)), key=total)
    only = np.eye(len(names))
    for _ in range(_ROUNDS):
        for step in (*only, prices.copy()):
            if not step.any():
                continue
            moved = _least(total, prices, step, 2 * float(each.max() / step.max()))
            if total(moved) < total(prices):
                prices = moved
    return total(prices)


def _least(
    function: Callable[[NDArray[np.float64]], float],
    start: NDArray[np.float64],
    step: NDArray[np.float64],
    most: float,
) -> NDArray[np.float64]:
    """Where a convex function of prices is least along a direction, by golden sections."""
    low, high = -float(np.min(start[step > 0] / step[step > 0])), most  # from no price on
    for _ in range(_STEPS):
        left, right = high - _GOLDEN * (high - low), low + _GOLDEN * (high - low)
        if function(start + left * step) < function(start + right * step):
            high = right
        else:
            low = left
    return np.maximum(start + (low + high) / 2 * step, 0.0)
