"""``rpaccel bench load``: the load simulation, the online scheduler, and a pipeline that is run."""

from __future__ import annotations

import argparse
import heapq
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..errors import UserError
from ..load.arrivals import Trace, arrivals, read_trace
from ..load.closed_forms import MD1, MMC, ClosedForm, Tandem, quantile
from ..load.multi_path import compare_paths, path_saturation
from ..load.online import Choice, PathScheduler
from ..load.paths import Path, check_memory, paths_of
from ..load.profile import LatencyCurve, read_profile
from ..load.queue import compiled
from ..load.services import Exponential, Fixed, Tabulated
from ..load.simulate import simulate
from ..load.sizes import FixedSize, Lognormal
from ..load.stations import Station
from .load_fleet import FLEET, fleet_rows
from .load_options import PARTS, RUN_ITEMS
from .load_paths import bound_profile
from .table import table_text

__all__ = ["bench_load"]

_RATE_GOAL = 1e6
"""Queries a second and core, of a two-stage pipeline."""
_DECISION_GOAL_US = 5.0
_REPEATS = 3
_BLOCK = 1000
"""Decisions timed together."""
_LOADS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.2)
_LARGEST = 1024
_SIZES = Lognormal(mean=128, sigma=0.5, largest=_LARGEST)
_PATH_QUERIES = 40_000
_RUN_QUERIES = 2000

RATE = {
    "pipeline": "two stages",
    "queries": "queries",
    "seconds": "CPU [s]",
    "rate": "queries/s a core",
    "goal": "goal",
}
FORMS = {
    "queue": "queue",
    "load": "load",
    "figure": "figure",
    "exact": "exact",
    "simulated": "simulated",
    "half_width": "+- (95 %)",
    "held": "held",
}
DECISION = {
    "paths": "paths",
    "platforms": "platforms",
    "median": "median [us]",
    "best": "best block [us]",
    "goal": "goal [us]",
}
PATHS = {
    "load": "load",
    "rate": "queries/s",
    "multi": "multi-path [correct/s]",
    "best": "best static [correct/s]",
    "best_static": "which",
    "gain": "gain",
    "half_width": "+- (95 %)",
    "missed": "missed [%]",
    "in_time": "in time [%]",
    "informed": "knowing all services",
    "bound": "any schedule, at most",
    "shares": "shares [%]",
}


def _rate(args: argparse.Namespace) -> list[dict[str, Any]]:
    """CPU time of whole simulations, estimates included."""
    curve = LatencyCurve(model="table", items=(1, _LARGEST), latency_s=(1e-5, 1e-3))
    pipelines: dict[str, tuple[Station, ...]] = {
        "one server each, exponential": (
            Station(name="a", service=Exponential(1e-3)),
            Station(name="b", service=Exponential(8e-4)),
        ),
        "4 and 2 servers, tabulated by lognormal sizes": (
            Station(name="a", service=Tabulated(curve), servers=4),
            Station(name="b", service=Tabulated(curve), servers=2, share=0.125),
        ),
    }
    queries = args.queries or 1_000_000
    rows = []
    for name, stations in pipelines.items():
        law = arrivals(args.arrivals, 700.0 if "one" in name else 20_000.0)
        best = np.inf
        for _ in range(_REPEATS):
            began = time.process_time()
            simulate(stations, law, _SIZES, queries=queries, seed=args.seed)
            best = min(best, time.process_time() - began)
        rows.append(
            {"pipeline": name, "queries": queries, "seconds": f"{best:.3f}",
             "rate": round(queries / best), "goal": round(_RATE_GOAL)}
        )  # fmt: skip
    return rows


def _closed_forms(args: argparse.Namespace) -> list[dict[str, Any]]:
    one = FixedSize(1)
    cases: list[tuple[str, float, tuple[Station, ...], float, ClosedForm]] = []
    for load in (0.5, 0.8):
        fixed = (Station(name="a", service=Fixed(1.0)),)
        cases.append(("M/D/1", load, fixed, load, MD1(load, 1.0)))
        for servers in (1, 4):
            several = (Station(name="a", service=Exponential(1.0), servers=servers),)
            rate = load * servers
            cases.append((f"M/M/{servers}", load, several, rate, MMC(rate, 1.0, servers)))
        both = (
            Station(name="a", service=Exponential(1.0)), Station(name="b", service=Exponential(0.8))
        )  # fmt: skip
        cases.append(("M/M/1 twice", load, both, load, Tandem(load, 1.0, 0.8)))
    rows: list[dict[str, Any]] = []
    for name, load, stations, rate, form in cases:
        found = simulate(
            stations, arrivals("poisson", rate), one, queries=args.queries or 400_000,
            seed=1000 * args.seed + len(rows),
        )  # fmt: skip
        exact = {"mean": form.mean, "p95": quantile(form, 0.95), "p99": quantile(form, 0.99)}
        for figure, value in exact.items():
            estimate = getattr(found, figure)
            width = estimate.half_width
            rows.append(
                {"queue": name, "load": f"{load:g}", "figure": figure, "exact": f"{value:.4f}",
                 "simulated": f"{estimate.value:.4f}",
                 "half_width": None if width is None else f"{width:.4f}",
                 "held": "yes" if estimate.holds(value) else "no"}
            )  # fmt: skip
    return rows


def _paths(args: argparse.Namespace) -> list[Path]:
    """Of the profiles given, else of the bounds of MP-Rec's models on a preset."""
    if not args.profile:
        profiles = [bound_profile(args.preset)]
        model = profiles[0].curves[0].model
    else:
        profiles = [read_profile(file) for file in args.profile]
        model = args.model or profiles[0].curves[0].model
    found = []
    for profile in profiles:
        known = [curve.representation for curve in profile.curves if curve.model == model]
        if not known:
            profile.curve(model)  # says what there is
        mine = paths_of(profile, model, known)
        check_memory(profile, mine)
        found += mine
    return found


def _decision(
    paths: list[Path], args: argparse.Namespace, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """CPU time of decisions, in blocks: the loop around them is counted as well.

    Where latencies scatter, so are the results that the scheduler hears of.
    """
    queries = args.queries or 100_000
    queries -= queries % _BLOCK
    if queries < _BLOCK:
        raise UserError(f"queries must be at least {_BLOCK} for decisions, not {args.queries}")
    random = np.random.default_rng(args.seed)
    items = _SIZES.items(random, queries)
    typical = items[:_BLOCK]
    elsewhere = [
        Path(name=f"{p.name}, second", platform=f"{p.platform}, second", curve=p.curve,
             quality=p.quality, servers=p.servers, in_flight=p.in_flight)
        for p in paths
    ]  # fmt: skip
    rows = []
    for some in (paths[:1], paths, [*paths, *elsewhere]):
        platforms = {path.platform for path in some}
        progress(f"decisions among {len(some)} paths")
        most = {p.platform: path_saturation(p, items) for p in reversed(some)}
        gaps = random.standard_exponential(queries) / (0.7 * sum(most.values()))
        when, sizes = np.cumsum(gaps).tolist(), items.tolist()
        scheduler = PathScheduler(some, sla_s=1e-3 * args.sla_ms, typical_items=typical)
        blocks = []
        scatters = any(path.curve.factors for path in some)
        coming: list[tuple[float, Choice]] = []
        for first in range(0, queries, _BLOCK):
            now, count = when[first : first + _BLOCK], sizes[first : first + _BLOCK]
            began = time.process_time_ns()
            if scatters:
                _decide_and_hear(scheduler, now, count, coming)
            else:
                for at, size in zip(now, count, strict=True):
                    scheduler.choose(at, size)
            blocks.append((time.process_time_ns() - began) / 1e3 / _BLOCK)
        rows.append(
            {"paths": len(some), "platforms": len(platforms),
             "median": f"{float(np.median(blocks)):.2f}", "best": f"{min(blocks):.2f}",
             "goal": _DECISION_GOAL_US}
        )  # fmt: skip
    return rows


def _decide_and_hear(
    scheduler: PathScheduler, now: list[float], items: list[int], coming: list[tuple[float, Choice]]
) -> None:
    """Decisions, and results at the times that were predicted."""
    for at, size in zip(now, items, strict=True):
        while coming and coming[0][0] <= at:
            finish, choice = heapq.heappop(coming)
            scheduler.done(choice, finish)
        chosen = scheduler.choose(at, size)
        if chosen is not None:
            heapq.heappush(coming, (chosen.finish, chosen))


def _short(path: str) -> str:
    """A path without its model, which all share."""
    return path.split("/")[-1]


def _multi_path(
    paths: list[Path], args: argparse.Namespace, progress: Callable[[str], None]
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    law = read_trace(args.trace) if args.trace else arrivals(args.arrivals, 1.0)
    listed = isinstance(law, Trace) and law.items is not None
    found = compare_paths(
        paths, law, None if listed else _SIZES, sla_s=1e-3 * args.sla_ms, loads=args.load or _LOADS,
        queries=args.queries or _PATH_QUERIES, seed=args.seed, policy=args.policy,
        progress=progress,
    )  # fmt: skip
    rows = []
    for row in found:
        width = row.gain.half_width
        shares = [f"{_short(name)} {100 * share:.1f}" for name, share in row.shares.items()]
        rows.append(
            {"load": f"{row.load:.2f}", "rate": round(row.rate), "multi": round(row.multi.value),
             "best": round(row.static[row.best_static].value),
             "best_static": _short(row.best_static),
             "gain": f"{row.gain.value:.1f}",
             "half_width": None if width is None else f"{width:.1f}",
             "missed": f"{100 * row.missed:.2f}", "in_time": f"{100 * row.in_time:.2f}",
             "informed": f"{100 * row.informed:.2f}", "bound": f"{100 * row.bound:.2f}",
             "shares": ", ".join(shares)}
        )  # fmt: skip
    return rows, [row.as_json() for row in found]


def _execution(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    from ..load.execute import execute
    from ..pipelines import pipeline
    from .load_mapping import read_mapping

    rate, layout = None, args.layout
    if args.mapping is not None:
        spec, rate = read_mapping(args.mapping)
        layout = "cores"  # the scheduler's CPU: each process does whole queries
    else:
        spec = pipeline(args.pipeline).scaled(args.items or RUN_ITEMS)
    found = execute(
        spec,
        layout=layout,
        load=args.load[0] if args.load else 0.5,
        rate=None if args.load else rate,
        queries=args.queries or _RUN_QUERIES,
        max_rows=args.max_rows,
        seed=args.seed,
        real_time=args.real_time,
        progress=progress,
    )
    return found.as_json()


def _execution_text(found: dict[str, Any]) -> str:
    low, high = (1e3 * value for value in found["predicted_p99_range_s"])
    drift = ", ".join(f"{name} {value:.3f}" for name, value in found["service_drift"].items())
    return "\n".join(
        [
            f"{found['pipeline']} on CPU processes, {found['queries']} queries at "
            f"{found['rate']:.1f}/s:",
            f"  p99 measured {1e3 * found['measured_p99_s']['value']:.2f} ms, predicted "
            f"{1e3 * found['predicted_p99_s']:.2f} ms ({low:.2f} to {high:.2f}): "
            f"ratio {found['ratio']:.3f} (goal 0.8 to 1.2)",
            f"  p50 measured {1e3 * found['measured_p50_s']['value']:.2f} ms, predicted "
            f"{1e3 * found['predicted_p50_s']:.2f} ms",
            f"  services took CPU {100 * found['run_undisturbed']:.1f} % of their time "
            f"(calibration {100 * found['calibration_undisturbed']:.1f} %); mean service over the "
            f"calibration's: {drift}",
        ]
    )


def bench_load(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Measure the parts asked for; by default all but ``execution``, which wants an idle machine.

    Raises
    ------
    UserError
        Unknown preset or profile, a target that no path meets, loads that are not above 0.
    """
    if not args.sla_ms > 0:
        raise UserError(f"--sla-ms must be above 0, not {args.sla_ms:g}")
    for load in args.load or ():
        if not load > 0:
            raise UserError(f"--load must be above 0, not {load:g}")
    parts = args.only or PARTS[:-1]
    result: dict[str, Any] = {"compiled": compiled() is not None}
    texts = []

    def show(part: str, heading: str, columns: dict[str, str], rows: list[dict[str, Any]]) -> None:
        result.setdefault(part, rows)
        texts.append(f"{heading}\n{table_text(columns, rows)}")

    if "rate" in parts:
        progress("rate of the simulation")
        how = "C++ for several servers" if result["compiled"] else "Python for several servers"
        show("rate", f"simulation ({how})", RATE, _rate(args))
    if "closed-forms" in parts:
        progress("closed forms")
        show("closed_forms", "time in the system, in services", FORMS, _closed_forms(args))
    if "decision" in parts or "multi-path" in parts:
        paths = _paths(args)
        if "decision" in parts:
            show("decision", "online decision", DECISION, _decision(paths, args, progress))
        if "multi-path" in parts:
            rows, result["multi_path"] = _multi_path(paths, args, progress)
            heading = f"multi-path, SLA {args.sla_ms:g} ms, load over saturation of fastest paths"
            show("multi_path", heading, PATHS, rows)
    if "fleet" in parts:
        heading = f"fleet for {args.rate:g} queries/s, p99 within {args.sla_ms:g} ms"
        show("fleet", heading, FLEET, fleet_rows(args, progress))
    if "execution" in parts:
        result["execution"] = _execution(args, progress)
        texts.append(_execution_text(result["execution"]))
    return result | {"text": "\n\n".join(texts)}
