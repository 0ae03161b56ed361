"""Multi-path serving over time, beside each path alone on the same queries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import UserError
from .arrivals import Arrivals, Trace
from .estimates import Estimate, mean_estimate
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
        start = max(now, ready[choice.server])
        index = items - table.low
        ready[choice.server] = start + table.occupied[index] * factor
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
    waiting: list[list[tuple[float, Choice]]] = [[] for _ in truth.ready]
    heads = [0] * len(waiting)
    exact = bool((factors == 1).all())
    chosen, latency, servable = [], [], []
    for now, count, mine in zip(arrival.tolist(), items.tolist(), factors.tolist(), strict=True):
        if not exact:  # exact predictions need no correction
            for place, queue in enumerate(waiting):
                head = heads[place]
                while head < len(queue) and queue[head][0] <= now:
                    scheduler.done(queue[head][1], queue[head][0])
                    head += 1
                heads[place] = head
        servable.append(truth.servable(now, count, mine))
        choice = scheduler.choose(now, count)
        if choice is None:
            chosen.append(-1)
            latency.append(np.inf)
            continue
        finish = truth.dispatch(now, count, choice, mine[choice.path])
        if not exact:
            waiting[choice.platform].append((finish, choice))
        chosen.append(choice.path)
        latency.append(finish - now)
    path = np.array(chosen, np.int64)
    seconds = np.array(latency)
    quality = np.array([p.quality for p in paths] + [0.0])
    in_time = seconds <= sla_s * (1 + 1e-12)
    seconds[in_time] = np.minimum(seconds[in_time], sla_s)
    correct = np.where(in_time, items * quality[path], 0.0)
    return PathRun(arrival, items, path, seconds, correct, np.array(servable), sla_s)


def path_saturation(path: Path, items: NDArray[np.int64]) -> float:
    """Queries a second that a path's platform can do on this path alone."""
    table = path.table()
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
    """Of the queries that some path could have served, the share that missed the target."""
    shares: dict[str, float]
    """Of the queries, by path; the rest was refused."""

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
        found.append(_comparison(load, rate, paths, multi, static))
    return found


def _comparison(
    load: float, rate: float, paths: Sequence[Path], multi: PathRun, static: dict[str, PathRun]
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
