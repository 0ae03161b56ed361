"""``rpaccel bench funnel``: sub-batches, queries in flight, the filter, and what policies keep."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from hdl.config import Config, preset

from ..errors import UserError
from ..options import RunOptions
from ..partition import Partition, parse_partition
from ..pipelines import Pipeline, pipeline
from ..rtl import Plan, plan_run, run_rtl
from ..rules import funnel_rules
from ..run import golden_results
from ..workload import Workload, load_workload
from .funnel_quality import all_scores, order_rows, policy_rows
from .table import table_text

__all__ = ["TABLES", "bench_funnel"]

TABLES = ("latency", "throughput", "quality")
SUB_BATCHES = (2, 4, 8, 16)
IN_FLIGHT = (1, 2, 4, 8)
_FILTER_GOAL = 300
"""Cycles of a selection beside one a survivor."""
_QUALITY_QUERIES = 20

LATENCY = {
    "policy": "policy",
    "sub_batches": "sub-batches",
    "cycles": "latency [cycles]",
    "share": "of one piece",
    "limit_share": "limit",
    "hidden": "hidden back end",
    "filter_cycles": "filter [cycles]",
    "filter_goal": "goal [cycles]",
    "speculative_items": "dropped items",
}
THROUGHPUT = {
    "in_flight": "in flight",
    "cycles_per_query": "cycles a query",
    "latency": "longest latency [cycles]",
    "mac_utilization": "utilisation [%]",
    "mac_utilization_bound": "limit [%]",
}
QUALITY = {
    "policy": "policy",
    "sub_batches": "sub-batches",
    "bins": "bins",
    "first_recall": "recall of stage 0",
    "recall": "recall",
    "ndcg": "NDCG",
    "ranked": "items ranked later",
}
ORDER = {
    "order": "order of items",
    "sub_batches": "sub-batches",
    "wasted": "dropped / k",
    "most_wasted": "most",
    "limit": "limit",
    "late": "in last sub-batch / k",
}


def _stage_limits(plan: Plan, workload: Workload) -> list[float]:
    """Cycles of each stage's padded MACs on all engines that serve it."""
    limits = []
    for number, stage in enumerate(workload.pipeline.stages):
        serving = [m for m in plan.deployment.maps.values() if number in m.stages]
        # Items a cycle: each engine takes a row a cycle through all its tiles.
        rate = sum(
            1 / (m.stages[number].bottom.tiles + m.stages[number].top.tiles) for m in serving
        )
        limits.append(stage.items / rate)
    return limits


def _default_partition(config: Config, stages: int) -> str:
    """Engines of its own for each stage where there are two, else engines for all."""
    half = config.edge // 2
    return f"{half}x{half}:2@0,{half}x{half}:2@1" if stages == 2 else f"{half}x{half}:4"


def _measure(
    config: Config,
    partition: Partition,
    workload: Workload,
    options: RunOptions,
    progress: Callable[[str], None],
) -> tuple[Plan, dict[str, Any]]:
    """One run on the back end; not bit-exact counts as a failure of the bench."""
    rules = funnel_rules(config, workload.pipeline, options)
    plan = plan_run(config, partition, workload, rules)
    if options.backend == "timing":
        from ..timing import run_timing

        expected = golden_results(workload, rules, keep_layers=False)
        return plan, run_timing(plan, workload, expected, options)
    expected = golden_results(workload, rules, keep_layers=True)
    return plan, run_rtl(plan, workload, expected, options, progress)


def _latency(
    config: Config,
    partition: Partition,
    workload: Workload,
    args: argparse.Namespace,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One query by policy and sub-batches."""
    one = replace(workload, queries=workload.queries[:1])
    spec = workload.pipeline
    rows: list[dict[str, Any]] = []
    parts = [p for p in args.sub_batches or SUB_BATCHES if p > 1]
    kinds = [("exact", 1), *(("exact", p) for p in parts), *(("quota", p) for p in parts)]
    kinds += [("binned", parts[len(parts) // 2])] if parts and args.backend == "rtl" else []
    for policy, count in kinds:
        progress(f"{spec.name}: policy {policy}, {count} sub-batches")
        options = RunOptions(
            preset=config.name, pipeline=spec.name, policy=policy, sub_batches=count,
            backend=args.backend, seed=args.seed,
        )  # fmt: skip
        plan, result = _measure(config, partition, one, options, progress)
        limits = _stage_limits(plan, workload)
        whole = rows[0]["cycles"] if rows else result["cycles"]
        back = result.get("back_end_cycles")
        rows.append(
            {
                "policy": policy,
                "sub_batches": count,
                "cycles": result["cycles"],
                "share": f"{result['cycles'] / whole:.3f}",
                # One stage after the other, or the first sub-batch's share before the rest.
                "limit_share": f"{_overlapped(limits, count) / whole:.3f}",
                "hidden": f"{result['hidden_cycles'] / back:.3f}" if back else None,
                "filter_cycles": _first(result, "filter_cycles"),
                "filter_goal": _FILTER_GOAL + spec.stages[0].keep,
                "speculative_items": sum(s["speculative_items"] for s in result["stages"]),
                "bit_exact": result["bit_exact"],
                "difference": result["difference"],
                "stages": result["stages"],
            }
        )
    return rows


def _first(result: dict[str, Any], key: str) -> Any:
    return result["stages"][0].get(key)


def _overlapped(limits: Sequence[float], parts: int) -> float:
    """Cycles of stages that follow each other by a sub-batch and are never held up otherwise."""
    return max(limits) + (sum(limits) - max(limits)) / parts


def _throughput(
    config: Config,
    partition: Partition,
    workload: Workload,
    args: argparse.Namespace,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """All queries by the number of those in flight."""
    rows = []
    for count in args.in_flight or IN_FLIGHT:
        progress(f"{workload.pipeline.name}: {count} queries in flight")
        options = RunOptions(
            preset=config.name, pipeline=workload.pipeline.name, in_flight=count,
            backend=args.backend, seed=args.seed,
        )  # fmt: skip
        _, result = _measure(config, partition, workload, options, progress)
        cycles = result["query_cycles"]
        keys = ("mac_utilization", "mac_utilization_bound", "bit_exact", "difference")
        rows.append(
            {
                "in_flight": count,
                "cycles_per_query": result["cycles_per_query"],
                "latency": max(cycles) if cycles else None,
            }
            | {key: result[key] for key in keys}
        )
    return rows


def _quality(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """Policies on the shipped data, from golden models."""
    spec = pipeline("demo-2")
    queries = args.quality_queries or _QUALITY_QUERIES
    progress(f"{spec.name}: {queries} queries, golden models")
    workload = load_workload(spec, queries=queries, max_rows=10_000, seed=args.seed)
    scores = all_scores(workload)
    parts = [p for p in args.sub_batches or SUB_BATCHES if p > 1]
    return {
        "policies": policy_rows(workload, scores, parts),
        "orders": order_rows(workload, scores, parts),
        "quality_queries": queries,
    }


def bench_funnel(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """The tables asked for.

    Raises
    ------
    UserError
        A preset without filter, a pipeline of one stage, more sub-batches than items.
    """
    config = preset(args.preset)
    tables = args.only or TABLES
    result: dict[str, Any] = {"bench": "funnel", "preset": config.name, "backend": args.backend}
    text = []
    exact = True
    if set(tables) & {"latency", "throughput"}:
        spec = _pipeline(config, args)
        count = args.queries if "throughput" in tables else 1
        progress(f"{spec.name}: models, {count} queries of {spec.stages[0].items} items")
        workload = load_workload(spec, queries=count, max_rows=args.max_rows, seed=args.seed)
        given = args.partition or _default_partition(config, len(spec.stages))
        partition = parse_partition(config, given, stages=len(spec.stages))
        result |= {"pipeline": spec.name, "partition": partition.text}
        result["items"] = [stage.items for stage in spec.stages]
        text.append(
            f"preset {config.name}, {spec.name} with {spec.stages[0].items} items, partition "
            f"{partition.text}, back end {args.backend}"
        )
        for name, measure, columns in (
            ("latency", _latency, LATENCY),
            ("throughput", _throughput, THROUGHPUT),
        ):
            if name in tables:
                rows = measure(config, partition, workload, args, progress)
                result[name] = rows
                exact &= all(row["bit_exact"] is not False for row in rows)
                text.append(f"\n{name}\n{table_text(columns, rows)}")
    if "quality" in tables:
        found = _quality(args, progress)
        result |= found
        text += [
            f"\nquality: demo-2, {found['quality_queries']} queries",
            table_text(QUALITY, _rounded(found["policies"])),
            "\npolicy exact by order of items",
            table_text(ORDER, _rounded(found["orders"])),
        ]
    if not exact:
        text.append("NOT bit-exact")
    return result | {"text": "\n".join(text), "status": 0 if exact else 1}


def _pipeline(config: Config, args: argparse.Namespace) -> Pipeline:
    spec = pipeline(args.pipeline).scaled(args.items)
    if not config.features.on_chip_filter:
        raise UserError(f"{config.name} filters on the host: there is no funnel to measure")
    if len(spec.stages) < 2:
        raise UserError(f"{spec.name} has one stage: there is nothing to overlap")
    return spec


def _rounded(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: f"{v:.4f}" if isinstance(v, float) else v for k, v in row.items()} for row in rows]
