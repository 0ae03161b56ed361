"""A load on stations: queries arrive, wait, are served stage by stage; what their latency is."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .arrivals import Arrivals, Trace
from .estimates import Estimate, mean_estimate, quantile_estimate, settled
from .sizes import ListedSizes, Sizes
from .stations import Station, pass_station

__all__ = ["LoadResult", "Latencies", "latencies", "simulate", "sizes_of"]

QUERIES = 200_000
"""Enough for an interval of p99.9 from 20 batches."""
FEWEST = 100
QUANTILES = {"p50": 0.50, "p95": 0.95, "p99": 0.99, "p999": 0.999}


@dataclass(frozen=True)
class Latencies:
    """A run, query by query, in the order of arrival."""

    arrival: NDArray[np.float64]
    items: NDArray[np.int64]
    latency: NDArray[np.float64]
    """Seconds from arrival to the last station's result."""
    load: dict[str, float]
    """Work that arrives at each station over what it can do; above 1 its queue only grows."""


@dataclass(frozen=True, kw_only=True)
class LoadResult:
    """Latencies of a run without its warm-up; seconds, with 95 % intervals."""

    rate: float
    """Queries a second that arrived."""
    throughput: float
    """Queries a second that left, from the first arrival to the last departure counted."""
    queries: int
    """Counted, warm-up apart."""
    warm_up: int
    mean: Estimate
    p50: Estimate
    p95: Estimate
    p99: Estimate
    p999: Estimate
    sla_s: float | None
    misses: Estimate | None
    """Share of queries above the SLA."""
    load: dict[str, float]
    """By station, see `Latencies`."""

    @property
    def stable(self) -> bool:
        """Whether every station can do the work that arrives."""
        return all(value < 1 for value in self.load.values())

    def percentile(self, percentile: float) -> Estimate:
        """One of the estimated percentiles: 50, 95, 99 or 99.9; UserError for others."""
        for name, share in QUANTILES.items():
            if abs(100 * share - percentile) < 1e-9:
                found: Estimate = getattr(self, name)
                return found
        raise UserError(f"percentile must be 50, 95, 99 or 99.9, not {percentile:g}")

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        names = ("mean", *QUANTILES)
        return {
            "rate": self.rate,
            "throughput": self.throughput,
            "queries": self.queries,
            "warm_up": self.warm_up,
            "latency_s": {name: getattr(self, name).as_json() for name in names},
            "sla_s": self.sla_s,
            "misses": None if self.misses is None else self.misses.as_json(),
            "load": self.load,
            "stable": self.stable,
        }


def sizes_of(arrivals: Arrivals, sizes: Sizes | None) -> Sizes:
    """The sizes given, else those of a trace; UserError where there are none."""
    if sizes is not None:
        return sizes
    if not isinstance(arrivals, Trace) or arrivals.items is None:
        raise UserError("sizes of the queries are missing: give a law, or a trace with items")
    return ListedSizes(arrivals.items)


def latencies(
    stations: Sequence[Station],
    arrivals: Arrivals,
    sizes: Sizes | None,
    *,
    queries: int = QUERIES,
    seed: int = 1,
) -> Latencies:
    """Run queries through the stations in order.

    Arrivals, sizes and each station's service times have random numbers of their own: changing one
    leaves the others as they are.

    Parameters
    ----------
    sizes
        None: those of the trace.
    queries
        At most; a trace may have fewer.

    Raises
    ------
    UserError
        No stations, too few queries, no sizes, or items outside a station's profile.
    """
    if not stations:
        raise UserError("no stations to send queries through")
    if queries < FEWEST:
        raise UserError(f"queries must be at least {FEWEST}, not {queries}")
    sizes = sizes_of(arrivals, sizes)
    arrival = arrivals.times(np.random.default_rng([seed, 0]), queries)
    items = sizes.items(np.random.default_rng([seed, 1]), len(arrival))
    span = float(arrival[-1] - arrival[0])
    come, load = arrival, {}
    for number, station in enumerate(stations):
        passage = pass_station(station, np.random.default_rng([seed, 2, number]), come, items)
        come = passage.leave
        if station.servers is not None:
            # The last query's work is still to come when the last arrival is counted.
            work = float(passage.occupied[:-1].sum())
            load[station.name] = work / (station.servers * span) if span else np.inf
    return Latencies(arrival, items, come - arrival, load)


def simulate(
    stations: Sequence[Station],
    arrivals: Arrivals,
    sizes: Sizes | None,
    *,
    queries: int = QUERIES,
    seed: int = 1,
    sla_s: float | None = None,
    warm_up: float | None = None,
) -> LoadResult:
    """Latency percentiles of a load.

    Parameters
    ----------
    sizes
        None: those of the trace.
    sla_s
        Latency target whose misses are counted.
    warm_up
        Share of the queries left out at the start; None: found by a rule, at most half.

    Raises
    ------
    UserError
        See `latencies`; an SLA not above 0; a warm-up outside 0..0.9.
    """
    if sla_s is not None and not sla_s > 0:
        raise UserError(f"SLA must be above 0 s, not {sla_s:g}")
    if warm_up is not None and not 0 <= warm_up <= 0.9:
        raise UserError(f"warm_up must be a share in 0..0.9, not {warm_up:g}")
    run = latencies(stations, arrivals, sizes, queries=queries, seed=seed)
    first = settled(run.latency) if warm_up is None else int(warm_up * len(run.latency))
    latency, arrival = run.latency[first:], run.arrival[first:]
    count = len(latency)
    span = float(arrival[-1] - arrival[0])
    ended = float((arrival + latency).max() - arrival[0])
    return LoadResult(
        rate=(count - 1) / span,
        throughput=count / ended,
        queries=count,
        warm_up=first,
        mean=mean_estimate(latency),
        **{name: quantile_estimate(latency, share) for name, share in QUANTILES.items()},
        sla_s=sla_s,
        misses=None if sla_s is None else mean_estimate(latency > sla_s),
        load=run.load,
    )
