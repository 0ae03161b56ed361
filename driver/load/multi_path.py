"""Multi-path serving over time, beside each path alone on the same queries."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .arrivals import Arrivals, Trace
from .estimates import Estimate, mean_estimate
from .hindsight import InformedScheduler, schedule_bound
from .online import Choice, PathScheduler
from .paths import Path
from .simulate import FEWEST, sizes_of
from .sizes import Sizes

__all__ = ["Comparison", "PathRun", "compare_paths", "path_saturation", "serve"]

QUERIES = 60_000
_WARM_UP = 0.1
_DRAWN = 20_000


@dataclass(frozen=True)
class PathRun:
    """Queries through a scheduler, in the order of arrival."""

    arrival: NDArray[np.float64]
    items: NDArray[np.int64]
    path: NDArray[np.int64]
    """Index of the path that served it; -1: refused."""
    latency: NDArray[np.float64]
    """Seconds; infinite: refused."""
    correct: NDArray[np.float64]
    """Expected correct predictions inside the target."""
    servable: NDArray[np.bool_]
    """Whether some path could have served it inside the target, as things stood."""
    sla_s: float

    @property
    def missed(self) -> NDArray[np.bool_]:
        """Queries that were refused or late."""
        return self.latency > self.sla_s

    def rate_of_correct(self, first: int = 0) -> Estimate:
        """Correct predictions a second, from query ``first`` on."""
        return _per_second(self.correct, self.arrival, first)

    def in_time(self, first: int = 0) -> float:
        """Share of all queries that were served inside the target."""
        return 1.0 - float(self.missed[first:].mean())

    def miss_share(self, first: int = 0) -> float:
        """Of the queries that some path could have served, the share that missed the target."""
        could = self.servable[first:]
        return float(self.missed[first:][could].mean()) if could.any() else 0.0


def _per_second(values: NDArray[np.float64], arrival: NDArray[np.float64], first: int) -> Estimate:
    found = mean_estimate(values[first:])
    rate = (len(arrival) - first - 1) / float(arrival[-1] - arrival[first])
    width = None if found.half_width is None else found.half_width * rate
    return Estimate(found.value * rate, width)


class _Truth:
    """What the platforms really do: profile times the query's factor on each path."""

    def __init__(self, paths: Sequence[Path], sla_s: float) -> None:
        names = list(dict.fromkeys(path.platform for path in paths))
        servers = {path.platform: path.servers for path in paths}
        self.ready = [[0.0] * servers[name] for name in names]
        self.places = [names.index(path.platform) for path in paths]
        self.tables = [path.table() for path in paths]
        self.sla_s = sla_s

    def servable(self, now: float, items: int, factors: Sequence[float]) -> bool:
        for number, place in enumerate(self.places):
            table = self.tables[number]
            index = items - table.low
            if 0 <= index < len(table.latency):
                wait = max(0.0, min(self.ready[place]) - now)
                if wait + table.latency[index] * factors[number] <= self.sla_s * (1 + 1e-12):
                    return True
        return False

    def dispatch(self, now: float, items: int, choice: Choice, factor: float) -> float:
        """Returns the time of the result."""
        table = self.tables[choice.path]
        ready = self.ready[choice.platform]
        server = ready.index(min(ready))  # the first that is free takes the next of the queue
        start = max(now, ready[server])
        index = items - table.low
        ready[server] = start + table.occupied[index] * factor
        return start + table.latency[index] * factor


def serve(
    scheduler: PathScheduler,
    arrival: NDArray[np.float64],
    items: NDArray[np.int64],
    factors: NDArray[np.float64],
    *,
    sla_s: float,
) -> PathRun:
    """Let a scheduler decide for each query; it hears of each result when it comes.

    Parameters
    ----------
    factors
        [query, path]: true latency over the profile's.
    """
    paths = scheduler.paths
    truth = _Truth(paths, sla_s)
    coming: list[tuple[float, int, Choice]] = []
    exact = bool((factors == 1).all())  # exact predictions need no correction
    informed = scheduler if isinstance(scheduler, InformedScheduler) else None
    chosen, latency, servable = [], [], []
    for now, count, mine in zip(arrival.tolist(), items.tolist(), factors.tolist(), strict=True):
        while coming and coming[0][0] <= now:
            finish, _, choice = heapq.heappop(coming)
            scheduler.done(choice, finish)
        servable.append(truth.servable(now, count, mine))
        if informed is None:
            picked = scheduler.choose(now, count)
        else:
            picked = informed.choose_knowing(now, count, mine)
        if picked is None:
            chosen.append(-1)
            latency.append(np.inf)
            continue
        finish = truth.dispatch(now, count, picked, mine[picked.path])
        if not exact and informed is None:
            heapq.heappush(coming, (finish, len(chosen), picked))
        chosen.append(picked.path)
        latency.append(finish - now)
    path = np.array(chosen, np.int64)
    seconds = np.array(latency)
    quality = np.array([p.quality for p in paths] + [0.0])
    in_time = seconds <= sla_s * (1 + 1e-12)
    seconds[in_time] = np.minimum(seconds[in_time], sla_s)
    correct = np.where(in_time, items * quality[path], 0.0)
    return PathRun(arrival, items, path, seconds, correct, np.array(servable), sla_s)


def path_saturation(path: Path, items: NDArray[np.int64]) -> float:
    """Queries a second that a path's platform can do on this path alone.

    Raises
    ------
    UserError
        Sizes outside the path's curve.
    """
    table = path.table()
    low, high = path.curve.items[0], path.curve.items[-1]
    outside = items[(items < low) | (items > high)]
    if len(outside):
        raise UserError(f"path {path.name} takes {low}..{high} items, not {outside[0]}")
    return path.servers / float(np.asarray(table.occupied)[items - table.low].mean())


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One load: the scheduler beside every path alone, on the same queries."""

    load: float
    """Of the saturation of all platforms on their fastest paths."""
    rate: float
    multi: Estimate
    """Correct predictions a second."""
    static: dict[str, Estimate]
    best_static: str
    gain: Estimate
    """Multi-path less the best static path, query by query."""
    missed: float
    """Of the queries that some path could have served, the share that missed the target: each
    judged by itself, as the servers stood when it came."""
    in_time: float
    """Share of all queries that were served inside the target."""
    informed: float
    """The same of a dispatcher that knows all service times, but not what is still to come."""
    bound: float
    """The same that no schedule exceeds, whatever it knows and prefers."""
    shares: dict[str, float]
    """Of the queries, by path; the rest was refused."""

    @property
    def fewer(self) -> float:
        """Of the queries that the informed dispatcher serves in time, how many fewer are."""
        return max(0.0, 1.0 - self.in_time / self.informed) if self.informed else 0.0

    def as_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "load": self.load,
            "rate": self.rate,
            "multi": self.multi.as_json(),
            "static": {name: value.as_json() for name, value in self.static.items()},
            "best_static": self.best_static,
            "gain": self.gain.as_json(),
            "missed": self.missed,
            "in_time": self.in_time,
            "informed": self.informed,
            "bound": self.bound,
            "fewer_than_informed": self.fewer,
            "shares": self.shares,
        }


def compare_paths(
    paths: Sequence[Path],
    arrivals: Arrivals,
    sizes: Sizes | None,
    *,
    sla_s: float,
    loads: Sequence[float],
    queries: int = QUERIES,
    seed: int = 1,
    policy: str = "value",
    progress: Callable[[str], None] = lambda text: None,
) -> list[Comparison]:
    """Multi-path against each path alone over a range of loads.

    Each path alone is served by the same rule: a query that would miss its target is refused, so
    that it costs the others nothing; in overload that is far better than a queue without it.

    Parameters
    ----------
    arrivals
        The law; its rate is replaced.
    sizes
        None: those of the trace.
    loads
        Of the queries a second that all platforms can do on their fastest paths.

    Raises
    ------
    UserError
        A load that is not above 0, too few queries, and what `PathScheduler` refuses.
    """
    for load in loads:
        if not load > 0:
            raise UserError(f"load must be above 0, not {load:g}")
    if isinstance(arrivals, Trace):
        queries = min(queries, len(arrivals.seconds))
    if queries < FEWEST:
        raise UserError(f"queries must be at least {FEWEST}, not {queries}")
    sizes = sizes_of(arrivals, sizes)
    items = sizes.items(np.random.default_rng([seed, 1]), queries)
    typical = items[:_DRAWN]
    most: dict[str, float] = {}
    for path in paths:
        most[path.platform] = max(most.get(path.platform, 0.0), path_saturation(path, items))
    factors = _factors(paths, queries, seed)
    found = []
    for load in loads:
        rate = load * sum(most.values())
        progress(f"load {load:.2f} of saturation: {rate:.4g} queries/s")
        arrival = arrivals.at_rate(rate).times(np.random.default_rng([seed, 0]), queries)

        def run(numbers: list[int], rule: str, arrival: NDArray[np.float64] = arrival) -> PathRun:
            scheduler = PathScheduler(
                [paths[n] for n in numbers], sla_s=sla_s, typical_items=typical, policy=rule
            )
            return serve(scheduler, arrival, items, factors[:, numbers], sla_s=sla_s)

        multi = run(list(range(len(paths))), policy)
        static = {path.name: run([n], "accurate-first") for n, path in enumerate(paths)}
        if (factors == 1).all():
            informed = multi  # predictions are exact
        else:
            knowing = InformedScheduler(paths, sla_s=sla_s, typical_items=typical, policy=policy)
            informed = serve(knowing, arrival, items, factors, sla_s=sla_s)
        found.append(_comparison(load, rate, paths, multi, static, informed, factors))
    return found


def most_in_time(
    paths: Sequence[Path], run: PathRun, factors: NDArray[np.float64], first: int
) -> float:
    """Share of the queries from ``first`` on that no schedule exceeds."""
    items, span = run.items[first:], float(run.arrival[-1] - run.arrival[first])
    tables = [path.table() for path in paths]
    scale = factors[first:].T
    at = [items - table.low for table in tables]
    latency = np.stack([np.array(t.latency)[n] for t, n in zip(tables, at, strict=True)]) * scale
    occupied = np.stack([np.array(t.occupied)[n] for t, n in zip(tables, at, strict=True)]) * scale
    worth = (latency <= run.sla_s * (1 + 1e-12)).astype(np.float64)
    return min(1.0, schedule_bound(paths, span + run.sla_s, occupied, worth) / len(items))


def _comparison(
    load: float,
    rate: float,
    paths: Sequence[Path],
    multi: PathRun,
    static: dict[str, PathRun],
    informed: PathRun,
    factors: NDArray[np.float64],
) -> Comparison:
    first = int(_WARM_UP * len(multi.arrival))
    alone = {name: run.rate_of_correct(first) for name, run in static.items()}
    best = max(alone, key=lambda name: alone[name].value)
    return Comparison(
        load=load,
        rate=rate,
        multi=multi.rate_of_correct(first),
        static=alone,
        best_static=best,
        gain=_per_second(multi.correct - static[best].correct, multi.arrival, first),
        missed=multi.miss_share(first),
        in_time=multi.in_time(first),
        informed=informed.in_time(first),
        bound=most_in_time(paths, multi, factors, first),
        shares={p.name: float((multi.path[first:] == n).mean()) for n, p in enumerate(paths)},
    )


def _factors(paths: Sequence[Path], queries: int, seed: int) -> NDArray[np.float64]:
    columns = []
    for number, path in enumerate(paths):
        random = np.random.default_rng([seed, 2, number])
        measured = path.curve.factors
        drawn = random.integers(0, len(measured), queries) if measured else None
        columns.append(np.ones(queries) if drawn is None else np.asarray(measured)[drawn])
    return np.stack(columns, axis=1)
