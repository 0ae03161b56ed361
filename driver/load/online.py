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
from .paths import Path
from .resident import CHANCE_DEVIATES, SAFE_DEVIATES, TOP, Option, Resident, safety

__all__ = ["LATE", "POLICIES", "Choice", "PathScheduler"]

POLICIES = ("value", "accurate-first")
"""``value``: the path whose correct predictions, less those that its work costs the queries behind
it, are most. ``accurate-first``: the most accurate path that is in time."""
LATE = ("drop", "serve")
"""A query that no path can serve in time: refused, or sent where it ends first."""
_MEMORY = 500
"""Services of the fastest path over which a platform's load is averaged."""
_exp, _sqrt, _copysign = math.exp, math.sqrt, math.copysign


class Choice(NamedTuple):
    """Where a query goes."""

    path: int
    """Index in the scheduler's paths."""
    platform: int
    finish: float
    """Predicted time of its result."""
    shift: float
    """The platform's correction at the decision, for `PathScheduler.done`."""
    variance: float = 0.0
    """What it adds to the uncertainty of the queue behind it, until `PathScheduler.done`."""


class PathScheduler:
    """Decides for one query after the other.

    It predicts when a server of each platform is free from the profiles, and is corrected by the
    results as they come. Where measured latencies scatter, a path counts as in time when the time
    until a server is free, normal with the variance of what is queued, and the query's own latency
    leave a chance of ``SAFE``: the margins of independent parts add in squares.

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
        self._limit = 1 + max(path.curve.items[-1] for path in paths)
        self._platforms = [
            Resident(number, [(n, p) for n, p in enumerate(paths) if p.platform == name],
                     self._limit)
            for number, name in enumerate(names)
        ]  # fmt: skip
        typical = np.asarray(typical_items)
        _check_target(paths, int(typical.min()), sla_s)
        busy = [
            platform.prepare(paths, typical, sla_s, priced=policy == "value")
            for platform in self._platforms
        ]
        self._per_memory = 1 / (_MEMORY * max(busy))
        self._last: float | None = None
        self._seen = 0.0

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
            wait = (ready[0] if len(ready) == 1 else min(ready)) - now
            if wait < 0.0:
                wait = 0.0
            room = self._sla - wait
            if room <= 0.0:
                continue
            here = wait * platform.per_step
            level = int(rate * platform.level_s / seen) if seen else 0
            values = platform.values[level if level < TOP else TOP]
            before = values[int(here)]
            queued = SAFE_DEVIATES * platform.variance if platform.scatters else 0.0
            for option in platform.options:
                latency, steps, quality, _, _, safe, _, _ = option
                needed = latency[items]
                if safe or queued:
                    margin = safe * needed * needed + queued
                    needed += _sqrt(margin) if margin >= 0.0 else -_sqrt(-margin)
                if needed <= room:
                    gain = quality * items + values[int(here + steps[items])] - before
                    if gain > most:
                        most, chosen = gain, (platform, option, wait)
        if chosen is None:
            return self._late(now, items)
        return self._dispatch(now, items, *chosen)

    def _dispatch(
        self, now: float, items: int, platform: Resident, option: Option, wait: float
    ) -> Choice:
        platform.rate += self._per_memory
        start = now + wait
        added = platform.dispatch(option, items, start)
        return Choice(
            option.number, platform.number, start + option.latency[items], platform.shift, added
        )

    def _late(self, now: float, items: int) -> Choice | None:
        """No path is safely in time: the one that may be, or ends first if it is served at all."""
        nearest: tuple[Resident, Option, float] | None = None
        chance: tuple[Resident, Option, float] | None = None
        first = may_end = math.inf
        for platform in self._platforms:
            wait = max(0.0, min(platform.ready) - now)
            queued = CHANCE_DEVIATES * platform.variance
            for option in platform.options if 0 < items < self._limit else ():
                latency = option.latency[items]
                ends = wait + latency
                if ends < first:
                    first, nearest = ends, (platform, option, wait)
                if platform.scatters and ends < may_end:
                    margin = option.chance * latency * latency + queued
                    if ends + _copysign(_sqrt(abs(margin)), margin) <= self._sla:
                        may_end, chance = ends, (platform, option, wait)
        if nearest is None:
            ranges = ", ".join(
                f"{p.name} {p.curve.items[0]}..{p.curve.items[-1]}" for p in self.paths
            )
            raise UserError(f"no path takes {items} items: {ranges}")
        if chance is not None:
            return self._dispatch(now, items, *chance)
        if self._serve_late:
            return self._dispatch(now, items, *nearest)
        # Refused, but it did come: the load of the platform that was nearest.
        nearest[0].rate += self._per_memory
        return None

    def done(self, choice: Choice, now: float) -> None:
        """A result came at ``now``: what waits behind it moves by the error of its prediction."""
        platform = self._platforms[choice.platform]
        error = now - (choice.finish + platform.shift - choice.shift)
        platform.correct(error, choice.variance)


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


def _check_target(paths: Sequence[Path], smallest: int, sla_s: float) -> None:
    """Refuse a target that an idle system misses even for the smallest query."""
    nearest, name = math.inf, ""
    for path in paths:
        table = path.table()
        if 0 <= smallest - table.low < len(table.latency):
            seconds = table.latency[smallest - table.low] * safety(path)
            if seconds < nearest:
                nearest, name = seconds, path.name
    if nearest == math.inf:
        raise UserError(f"no path takes {smallest} items, the smallest typical query")
    if nearest > sla_s:
        raise UserError(
            f"no path meets an SLA of {1e3 * sla_s:g} ms for {smallest} items: "
            f"the nearest is {name} with {1e3 * nearest:.4g} ms"
        )
