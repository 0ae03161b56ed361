"""The online scheduler of MP-Rec: for each query the path that serves it, in microseconds.

Several paths (a representation on a platform) are resident. What is maximised is the throughput of
correct predictions: items served inside the latency target times the path's quality.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .paths import Path, PathTable
from .values import LOADS, backlog_values

__all__ = ["LATE", "POLICIES", "Choice", "PathScheduler"]

POLICIES = ("value", "accurate-first")
"""``value``: the path whose correct predictions, less those that its work costs the queries behind
it, are most. ``accurate-first``: the most accurate path that is in time."""
LATE = ("drop", "serve")
"""A query that no path can serve in time: refused, or sent where it ends first."""
_MEMORY = 500
"""Services of the fastest path over which a platform's load is averaged."""
_SAFE = 0.995
"""Share of a path's measured latencies that a prediction must cover."""
_SIZES = 12
"""Typical query sizes for the value of a backlog."""
_TOP = len(LOADS) - 1
_exp = math.exp


class Choice(NamedTuple):
    """Where a query goes."""

    path: int
    """Index in the scheduler's paths."""
    platform: int
    server: int
    finish: float
    """Predicted time of its result."""
    shift: float
    """The server's correction at the decision, for `PathScheduler.done`."""


class _Option(NamedTuple):
    """A path of a platform, tabulated by items from 0 on; infinite where it does not take them."""

    safe: list[float]
    """Latency that a prediction must fit into the target."""
    steps: list[float]
    """Occupation in steps of the backlog grid, at most the target's."""
    quality: float
    number: int
    latency: list[float]
    occupied: list[float]


class _Platform:
    """State of a platform; plain lists, for a decision must not take longer than a few calls."""

    __slots__ = ("level_s", "number", "options", "paths", "per_step", "quick", "rate", "ready",
                 "shift", "values")  # fmt: skip

    def __init__(self, number: int, paths: list[tuple[int, Path]]) -> None:
        first = paths[0][1]
        self.number = number
        self.ready = [0.0] * first.servers
        """When each server can start the next query, as predicted."""
        self.shift = [0.0] * first.servers
        """How much later than predicted each server is by now."""
        self.rate = 0.0
        """Queries a second, averaged; what came before the first query counts as nothing."""
        self.paths = [(n, path, path.table()) for n, path in paths]
        self.options: list[_Option] = []
        self.quick: list[tuple[list[float], list[float], float, _Option]] = []
        """What a decision reads of each option."""
        self.per_step = 1.0
        """Steps of the backlog grid a second."""
        self.values: list[list[float]] = []
        self.level_s = 0.0
        """Turns a rate into an index of ``values``."""


def _safety(path: Path) -> float:
    if not path.curve.factors:
        return 1.0
    return max(1.0, float(np.quantile(path.curve.factors, _SAFE)))


class PathScheduler:
    """Decides for one query after the other.

    It predicts when each platform's servers are free from the profiles, and is corrected by the
    results as they come.

    Parameters
    ----------
    paths
        Resident paths; those of one platform share its servers.
    sla_s
        Latency target of a query, transfers included.
    typical_items
        Sizes that queries have, for the value of a backlog (a sample, or a few quantiles).
    policy
        One of ``POLICIES``.
    late
        One of ``LATE``.

    Raises
    ------
    UserError
        No paths, unknown words, platforms whose paths disagree, or a target that no path meets for
        the smallest typical query: the message says the nearest.
    """

    def __init__(
        self,
        paths: Sequence[Path],
        *,
        sla_s: float,
        typical_items: Sequence[int] | NDArray[np.int64],
        policy: str = "value",
        late: str = "drop",
    ) -> None:
        _check(paths, sla_s, typical_items, policy, late)
        self.paths = list(paths)
        self._sla = sla_s
        self._serve_late = late == "serve"
        names = list(dict.fromkeys(path.platform for path in paths))
        self._platforms = [
            _Platform(number, [(n, p) for n, p in enumerate(paths) if p.platform == name])
            for number, name in enumerate(names)
        ]
        shares = (np.arange(_SIZES) + 0.5) / _SIZES
        sizes = np.quantile(np.asarray(typical_items), shares).round().astype(int)
        _check_target(self._platforms, int(min(typical_items)), sla_s)
        self._memory_s = 0.0
        self._limit = 1 + max(path.curve.items[-1] for path in paths)
        for platform in self._platforms:
            self._prepare(platform, sizes, policy)
        self._per_memory = 1 / self._memory_s
        self._last: float | None = None
        self._seen = 0.0

    def _prepare(self, platform: _Platform, sizes: NDArray[np.int_], policy: str) -> None:
        rows = []
        for number, path, table in platform.paths:
            at = np.clip(sizes - table.low, 0, len(table.latency) - 1)
            safe = np.asarray(table.latency) * _safety(path)
            rows.append((safe[at], np.asarray(table.occupied)[at], path.quality * sizes))
            latency, occupied = (self._by_items(table, v) for v in (table.latency, table.occupied))
            platform.options.append(
                _Option(
                    safe=self._by_items(table, safe.tolist()),
                    steps=[],
                    quality=path.quality,
                    number=number,
                    latency=latency,
                    occupied=occupied,
                )
            )
        typical = [np.array(part) for part in zip(*rows, strict=True)]
        busy = float(typical[1].mean(axis=1).min())
        servers = len(platform.ready)
        self._memory_s = max(self._memory_s, _MEMORY * busy / servers)
        platform.level_s = busy / servers / LOADS[0]
        if policy == "value":
            found = backlog_values(*typical, sla_s=self._sla, busy_s=busy)
            platform.per_step, platform.values = 1 / found.step_s, found.by_load
        else:  # a backlog costs nothing
            platform.per_step = 1 / self._sla
            platform.values = [[0.0, 0.0, 0.0, 0.0]] * len(LOADS)
        most = self._sla * platform.per_step
        for option in platform.options:
            option.steps.extend(min(s * platform.per_step, most) for s in option.occupied)
            platform.quick.append((option.safe, option.steps, option.quality, option))

    def _by_items(self, table: PathTable, values: list[float]) -> list[float]:
        behind = self._limit - table.low - len(values)
        return [math.inf] * table.low + values + [math.inf] * behind

    def choose(self, now: float, items: int) -> Choice | None:
        """Decide for a query of ``items`` that arrives at ``now``; times must not fall.

        Returns
        -------
        The path, already counted as dispatched; None when it is refused.

        Raises
        ------
        UserError
            No path knows so many items.
        """
        keep = 1.0 if self._last is None else _exp((self._last - now) * self._per_memory)
        self._last = now
        # What came so far, over the time that it came in: right from the start on.
        seen = self._seen = 1.0 - (1.0 - self._seen) * keep
        if not 0 < items < self._limit:
            return self._late(now, items)
        most, chosen = -math.inf, None
        for platform in self._platforms:
            rate = platform.rate = platform.rate * keep
            ready = platform.ready
            server = 0 if len(ready) == 1 else ready.index(min(ready))
            wait = ready[server] - now
            if wait < 0.0:
                wait = 0.0
            room = self._sla - wait
            if room <= 0.0:
                continue
            here = wait * platform.per_step
            level = int(rate * platform.level_s / seen) if seen else 0
            values = platform.values[level if level < _TOP else _TOP]
            before = values[int(here)]
            for safe, steps, quality, option in platform.quick:
                if safe[items] <= room:
                    gain = quality * items + values[int(here + steps[items])] - before
                    if gain > most:
                        most = gain
                        chosen = (platform, server, option, wait)
        if chosen is None:
            return self._late(now, items)
        return self._dispatch(now, items, *chosen)

    def _dispatch(
        self, now: float, items: int, platform: _Platform, server: int, option: _Option, wait: float
    ) -> Choice:
        start = now + wait
        _, _, _, number, latency, occupied = option
        platform.ready[server] = start + occupied[items]
        platform.rate += self._per_memory
        return Choice(
            number, platform.number, server, start + latency[items], platform.shift[server]
        )

    def _late(self, now: float, items: int) -> Choice | None:
        """No path is in time: the one that ends first, if it is served at all."""
        best: tuple[_Platform, int, _Option, float] | None = None
        first = math.inf
        for platform in self._platforms:
            server = platform.ready.index(min(platform.ready))
            wait = max(0.0, platform.ready[server] - now)
            for option in platform.options if 0 < items < self._limit else ():
                if wait + option.latency[items] < first:
                    first = wait + option.latency[items]
                    best = (platform, server, option, wait)
        if best is None:
            ranges = ", ".join(
                f"{p.name} {p.curve.items[0]}..{p.curve.items[-1]}" for p in self.paths
            )
            raise UserError(f"no path takes {items} items: {ranges}")
        if self._serve_late:
            return self._dispatch(now, items, *best)
        # Refused, but it did come: the load of the platform that was nearest.
        best[0].rate += self._per_memory
        return None

    def done(self, choice: Choice, now: float) -> None:
        """A result came at ``now``: what waits behind it moves by the error of its prediction."""
        platform, server = self._platforms[choice.platform], choice.server
        error = now - (choice.finish + platform.shift[server] - choice.shift)
        platform.shift[server] += error
        platform.ready[server] += error


def _check(
    paths: Sequence[Path],
    sla_s: float,
    typical_items: Sequence[int] | NDArray[np.int64],
    policy: str,
    late: str,
) -> None:
    if not paths:
        raise UserError("no paths to choose from")
    if not (math.isfinite(sla_s) and sla_s > 0):
        raise UserError(f"SLA must be above 0 s, not {sla_s:g}")
    if len(typical_items) == 0 or min(typical_items) < 1:
        raise UserError("typical items: needs sizes of at least 1")
    for word, value, known in (("policy", policy, POLICIES), ("late", late, LATE)):
        if value not in known:
            raise UserError(f"unknown {word} {value!r}; known: {', '.join(known)}")
    for path in paths:
        first = next(p for p in paths if p.platform == path.platform)
        if path.servers != first.servers:
            raise UserError(
                f"paths {first.name} and {path.name} disagree on the servers of {path.platform}"
            )


def _check_target(platforms: list[_Platform], smallest: int, sla_s: float) -> None:
    """Refuse a target that an idle system misses even for the smallest query."""
    nearest, name = math.inf, ""
    for platform in platforms:
        for _, path, table in platform.paths:
            if 0 <= smallest - table.low < len(table.latency):
                seconds = table.latency[smallest - table.low] * _safety(path)
                if seconds < nearest:
                    nearest, name = seconds, path.name
    if nearest == math.inf:
        raise UserError(f"no path takes {smallest} items, the smallest typical query")
    if nearest > sla_s:
        raise UserError(
            f"no path meets an SLA of {1e3 * sla_s:g} ms for {smallest} items: "
            f"the nearest is {name} with {1e3 * nearest:.4g} ms"
        )
