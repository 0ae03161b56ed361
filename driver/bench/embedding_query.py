"""``kaggle-2`` with and without its caches: hits, waits, what compute hides."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from hdl.config import LINE_BYTES, Config

from ..options import RunOptions
from ..partition import parse_partition
from ..pipelines import pipeline
from ..rtl import plan_run, run_rtl
from ..rules import funnel_rules
from ..run import golden_results
from ..timing import run_timing
from ..workload import load_workload

__all__ = ["QUERY_COLUMNS", "measure_query"]

QUERY_COLUMNS = {
    "caches": "caches",
    "cycles": "cycles",
    "front_wait": "front wait [cycles]",
    "back_wait": "back wait [cycles]",
    "wait": "all [cycles]",
    "access_cycles": "access [cycles]",
    "less_utilization": "below none [%]",
    "back_hit_utilization": "back hits [%]",
    "late_utilization": "of these in flight [%]",
    "stall_utilization": "vector stalls [%]",
    "hidden_utilization": "wait hidden [%]",
}


def measure_query(
    config: Config, args: argparse.Namespace, progress: Callable[[str], None]
) -> list[dict[str, Any]]:
    """One query for each choice of caches; without look-ahead the device is another one."""
    # The same lines, as buffers of recent fetches: nothing is asked for ahead.
    bare = replace(config, features=replace(config.features, look_ahead=False))
    rows = []
    for name, device, static in (
        ("none", bare, False),
        ("static", bare, True),
        ("look-ahead", config, False),
        ("both", config, True),
    ):
        if args.caches and name not in args.caches:
            continue
        progress(f"{config.name}: kaggle-2, caches {name}")
        rows.append({"caches": name} | _run(device, args, static, progress))
    without = next((row["access_cycles"] for row in rows if row["caches"] == "none"), None)
    for row in rows:
        row["less_utilization"] = None if without is None else 1 - row["access_cycles"] / without
    return rows


def _run(
    config: Config, args: argparse.Namespace, static: bool, progress: Callable[[str], None]
) -> dict[str, Any]:
    spec = pipeline("kaggle-2").scaled(args.items)
    options = RunOptions(
        preset=config.name, pipeline=spec.name, policy="quota", sub_batches=4, seed=args.seed
    )
    workload = load_workload(spec, queries=1, max_rows=args.max_rows, seed=args.seed)
    if not static:
        workload.counts = [[np.zeros_like(c) for c in stage] for stage in workload.counts]
    rules = funnel_rules(config, spec, options)
    rtl = args.backend == "rtl"
    expected = golden_results(workload, rules, keep_layers=rtl)
    cut = parse_partition(config, args.partition, stages=len(spec.stages))
    plan = plan_run(config, cut, workload, rules)
    if rtl:
        result = run_rtl(plan, workload, expected, options, progress)
    else:
        result = run_timing(plan, workload, expected, options)
    front, back = (stage["embedding"] for stage in result["stages"])
    waits = front["wait_cycles"] + back["wait_cycles"]
    lookups = front["lookups"] + back["lookups"]
    reads = sum(
        stage["lookups"] * -(-min(model.shape.width, LINE_BYTES) // config.lane_bytes)
        for stage, model in zip((front, back), plan.deployment.models, strict=True)
    )
    hits = back["static_hits"] + back["lookahead_hits"]
    engines = len(plan.deployment.partition.engines)
    stalls = sum(stage["stall_cycles"]["vectors"] for stage in result["stages"]) / engines
    # Cycles in which lanes would have waited, had each waited for every lookup by itself.
    lane_waits = waits / config.gather_lanes
    return {
        "bit_exact": result["bit_exact"],
        "cycles": result["cycles"],
        "front_wait": front["average_wait"],
        "back_wait": back["average_wait"],
        "wait": waits / lookups,
        # A lookup's words are read one a cycle when its data is there.
        "access_cycles": (reads + waits) / lookups,
        "back_hit_utilization": hits / back["lookups"],
        "late_utilization": back["merged"] / max(1, hits),
        "stall_utilization": stalls / result["cycles"],
        "hidden_utilization": 1 - min(1.0, stalls / max(1.0, lane_waits)),
        "stages": result["stages"],
        "embedding": result["embedding"],
    }
