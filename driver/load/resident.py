"""A platform as the online scheduler keeps it: resident paths, backlog, what its work is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from statistics import NormalDist
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from .paths import Path, PathTable
from .values import LOADS, backlog_values

__all__ = ["CHANCE", "SAFE", "TOP", "Option", "Resident"]

SAFE = 0.95
"""Chance of being in time from which a path counts as in time. Much more would keep servers from
the edge of the target, where every query that is refused might have been served after all."""
CHANCE = 0.8
"""Chance from which a query that no path serves safely is tried all the same. Less would waste
more time of servers on late results than it saves queries."""
TOP = len(LOADS) - 1
_SIZES = 12
"""Typical query sizes for the value of a backlog."""


def _deviates(share: float) -> float:
    """Square of the standard deviations of a normal law below a share, with the sign."""
    z = NormalDist().inv_cdf(share)
    return math.copysign(z * z, z)


SAFE_DEVIATES, CHANCE_DEVIATES = _deviates(SAFE), _deviates(CHANCE)


class Option(NamedTuple):
    """A path of a platform, tabulated by items from 0 on; infinite where it does not take them."""

    latency: list[float]
    steps: list[float]
    """Occupation in steps of the backlog grid, at most the target's."""
    quality: float
    number: int
    """Of the path."""
    occupied: list[float]
    safe: float
    """Square of what the ``SAFE`` quantile of measured latencies adds to 1, with its sign."""
    chance: float
    """The same of the ``CHANCE`` quantile."""
    variance: float
    """Of measured latencies over the curve's."""


def _square(path: Path, share: float) -> float:
    if not path.curve.factors:
        return 0.0
    more = float(np.quantile(path.curve.factors, share)) - 1
    return more * abs(more)


def safety(path: Path) -> float:
    """Of an idle server: latency that counts as in time over the curve's."""
    if not path.curve.factors:
        return 1.0
    return max(1.0, float(np.quantile(path.curve.factors, SAFE)))


class Resident:
    """State of a platform; plain lists, for a decision must not take longer than a few calls.

    Its servers take queries from one queue, first come first served.
    """

    __slots__ = ("level_s", "name", "number", "options", "per_step", "rate", "ready", "scatters",
                 "shift", "values", "variance")  # fmt: skip

    def __init__(self, number: int, paths: list[tuple[int, Path]], limit: int) -> None:
        first = paths[0][1]
        self.name, self.number = first.platform, number
        self.ready = [0.0] * first.servers
        """When each server can start the next query, as predicted."""
        self.shift = 0.0
        """How much later than first predicted the servers are by now."""
        self.variance = 0.0
        """Of the time until a server is free, from queries whose results have not come."""
        self.rate = 0.0
        """Queries a second, averaged; what came before the first query counts as nothing."""
        self.scatters = any(path.curve.factors for _, path in paths)
        self.options = [_option(n, path, path.table(), limit) for n, path in paths]
        self.per_step = 1.0
        """Steps of the backlog grid a second."""
        self.values: list[list[float]] = []
        self.level_s = 0.0
        """Turns a rate into an index of ``values``."""

    def prepare(
        self, paths: Sequence[Path], typical: NDArray[np.int64], sla_s: float, *, priced: bool
    ) -> float:
        """Work out the value of a backlog.

        Parameters
        ----------
        typical
            Sizes that queries have.
        priced
            False: a backlog costs nothing.

        Returns
        -------
        Seconds of a server for a typical query on the fastest path, over the servers.
        """
        shares = (np.arange(_SIZES) + 0.5) / _SIZES
        sizes = np.quantile(typical, shares).round().astype(int)
        rows = []
        for option in self.options:
            table = paths[option.number].table()
            at = np.clip(sizes - table.low, 0, len(table.latency) - 1)
            safe = np.asarray(table.latency)[at] * safety(paths[option.number])
            rows.append((safe, np.asarray(table.occupied)[at], option.quality * sizes))
        latency, occupied, reward = (np.array(part) for part in zip(*rows, strict=True))
        busy = float(occupied.mean(axis=1).min())
        self.level_s = busy / len(self.ready) / LOADS[0]
        if priced:
            found = backlog_values(latency, occupied, reward, sla_s=sla_s, busy_s=busy)
            self.per_step, self.values = 1 / found.step_s, found.by_load
        else:
            self.per_step = 1 / sla_s
            self.values = [[0.0, 0.0, 0.0, 0.0]] * len(LOADS)
        most = sla_s * self.per_step
        for option in self.options:
            option.steps.extend(min(s * self.per_step, most) for s in option.occupied)
        return busy / len(self.ready)

    def dispatch(self, option: Option, items: int, start: float) -> float:
        """Count a query as served from ``start`` on; the variance that it adds."""
        ready = self.ready
        seconds = option.occupied[items]
        ready[ready.index(min(ready))] = start + seconds
        added = option.variance * seconds * seconds / len(ready) ** 2
        self.variance += added
        return added

    def correct(self, error: float, variance: float) -> None:
        """A result came ``error`` later than predicted: the queue is shared by all servers."""
        self.variance = max(0.0, self.variance - variance)
        error /= len(self.ready)
        self.shift += error
        self.ready = [at + error for at in self.ready]


def _option(number: int, path: Path, table: PathTable, limit: int) -> Option:
    behind = limit - table.low - len(table.latency)
    latency, occupied = (
        [math.inf] * table.low + values + [math.inf] * behind
        for values in (table.latency, table.occupied)
    )
    return Option(
        latency=latency,
        steps=[],
        quality=path.quality,
        number=number,
        occupied=occupied,
        safe=_square(path, SAFE),
        chance=_square(path, CHANCE),
        variance=float(np.var(path.curve.factors)) if path.curve.factors else 0.0,
    )
