"""The online scheduler among the mappings of one platform, over a day whose load swings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..load.arrivals import Diurnal
from ..load.multi_path import serve
from ..load.online import PathScheduler
from ..load.paths import Path
from ..load.profile import LatencyCurve
from .explore import Outcome

__all__ = ["REFUSED", "OnlineRun", "alternatives", "online_run"]

REFUSED = "refused"
"""Path of a query that no path can serve inside the target."""
QUERIES = 4000
_MOST_PATHS = 6
_MEAN_LOAD = 0.6
"""Of what the fastest path can do, averaged over the day."""
_SWING = 0.95
"""Above it and below: the peak is 1.17 times what the fastest path can do."""


@dataclass(frozen=True)
class OnlineRun:
    """Where each query of the day went."""

    paths: tuple[str, ...]
    rate: float
    """Queries a second, on average."""
    at_s: tuple[float, ...]
    path: tuple[str, ...]
    latency_s: tuple[float, ...]
    """Infinite: refused."""
    missed: float
    """Of the queries that some path could have served inside the target, the share that missed."""

    def shares(self) -> dict[str, float]:
        """Of the queries, by path."""
        names = [*self.paths, REFUSED]
        return {name: self.path.count(name) / len(self.path) for name in names}

    def as_json(self) -> dict[str, Any]:
        """Plain data, without the single queries."""
        return {
            "paths": list(self.paths),
            "queries_per_second": self.rate,
            "queries": len(self.path),
            "shares": self.shares(),
            "missed": self.missed,
        }


def alternatives(outcomes: Sequence[Outcome], chosen: Outcome) -> list[Outcome]:
    """Mappings that may be resident beside the chosen one, best quality first.

    All on the platform of its first stage alone, from the same items; each of less quality than the
    one before does more queries a second.
    """
    platform = chosen.mapping.segments[0].platform
    items = chosen.mapping.stages[0].items
    fit = [
        o
        for o in outcomes
        if len(o.mapping.segments) == 1
        and o.mapping.segments[0].platform == platform
        and o.mapping.stages[0].items == items
        and o.mapping.returned == chosen.mapping.returned
    ]
    found: list[Outcome] = []
    for outcome in sorted(fit, key=lambda o: (-o.quality, -o.saturation)):
        if not found or outcome.saturation > found[-1].saturation:
            found.append(outcome)
    if len(found) <= _MOST_PATHS:
        return found
    picks = np.linspace(0, len(found) - 1, _MOST_PATHS).round().astype(int)
    return [found[n] for n in picks]


def _path(outcome: Outcome) -> Path:
    items = outcome.mapping.stages[0].items
    interval = 1 / outcome.saturation
    curve = LatencyCurve(
        model=outcome.mapping.label,
        items=(items,),
        latency_s=(outcome.latency_s,),
        interval_s=(interval,),
    )
    # As many queries at work as its throughput takes: a server is free after the interval.
    at_work = max(1, math.ceil(outcome.latency_s / interval - 1e-9))
    return Path(
        name=outcome.mapping.label,
        platform=outcome.mapping.segments[0].platform,
        curve=curve,
        quality=outcome.quality,
        in_flight=at_work,
    )


def online_run(
    outcomes: Sequence[Outcome], chosen: Outcome, *, sla_s: float, seed: int
) -> OnlineRun | None:
    """Let MP-Rec's online scheduler choose among the alternatives for each query of a day.

    Parameters
    ----------
    sla_s
        Latency target of a query.

    Returns
    -------
    None where there is no choice: fewer than two mappings that meet the target when idle.
    """
    paths = [_path(o) for o in alternatives(outcomes, chosen) if o.latency_s <= sla_s]
    if len(paths) < 2:
        return None
    items = np.full(QUERIES, chosen.mapping.stages[0].items, np.int64)
    fastest = max(1 / path.curve.interval_s[0] for path in paths)
    rate = _MEAN_LOAD * fastest
    day = Diurnal(rate, swing=_SWING, period_s=QUERIES / rate)
    arrival = day.times(np.random.default_rng([seed, 0]), QUERIES)
    scheduler = PathScheduler(paths, sla_s=sla_s, typical_items=items[:16])
    ran = serve(scheduler, arrival, items, np.ones((QUERIES, len(paths))), sla_s=sla_s)
    names = [path.name for path in paths]
    return OnlineRun(
        paths=tuple(names),
        rate=rate,
        at_s=tuple(ran.arrival.tolist()),
        path=tuple(names[n] if n >= 0 else REFUSED for n in ran.path.tolist()),
        latency_s=tuple(ran.latency.tolist()),
        missed=ran.miss_share(),
    )
