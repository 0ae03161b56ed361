"""``rpaccel bench query``: whole queries of the reference pipelines in several partitions."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from hdl.config import Config, preset

from ..options import RunOptions
from ..partition import parse_partition
from ..pipelines import Pipeline, pipeline
from ..rtl import plan_run, run_rtl
from ..run import golden_results
from ..summary import macs
from ..workload import load_workload
from .limits import plain_query_cycles
from .table import table_text

__all__ = ["DEFAULT_PIPELINES", "bench_query", "default_partitions"]

DEFAULT_PIPELINES = tuple(f"kaggle-{n}{suffix}" for suffix in ("", "-cat") for n in (1, 2, 3))
COLUMNS = {
    "pipeline": "pipeline",
    "partition": "partition",
    "cycles": "RTL [cycles]",
    "mac_limit_cycles": "MACs/PEs [cycles]",
    "byte_limit_cycles": "bytes/bandwidth [cycles]",
    "plain_cycles": "plain schedule [cycles]",
    "mac_utilization": "utilisation [%]",
    "mac_utilization_bound": "padding allows [%]",
}


def default_partitions(config: Config, stages: int) -> list[str]:
    """Fused, quarters, split, and with two stages half of the grid in quarters for the last."""
    if not config.features.fission or config.grid == 1:
        return ["fused"]
    half, single = config.edge // 2, config.sub_array
    found = ["fused", "split"]
    if config.grid > 2:
        found.insert(1, f"{half}x{half}:4")
        if stages == 2:
            found.append(f"{half}x{half}:2@1,{single}x{single}:{config.sub_arrays // 2}@0")
    return found


def _shares(stages: list[dict[str, Any]]) -> dict[str, float]:
    """Share of the engines' cycles in each cause, over all stages, busy first."""
    total = {"busy": sum(stage["busy_cycles"] for stage in stages)}
    for stage in stages:
        for cause, cycles in stage["stall_cycles"].items():
            total[cause] = total.get(cause, 0) + cycles
    return {cause: cycles / max(1, sum(total.values())) for cause, cycles in total.items()}


def _rows(
    config: Config,
    spec: Pipeline,
    partitions: list[str],
    args: argparse.Namespace,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """One pipeline in each partition: models, queries and golden results are made once."""
    progress(f"{spec.name}: models, {spec.stages[0].items} items")
    workload = load_workload(spec, queries=1, max_rows=args.max_rows, seed=args.seed)
    expected = golden_results(workload, keep_layers=True)
    options = RunOptions(
        preset=config.name, pipeline=spec.name, simulator=args.simulator, seed=args.seed
    )
    rows = []
    for text in partitions:
        partition = parse_partition(config, text, stages=len(spec.stages))
        progress(f"{spec.name} on {partition.text}")
        plan = plan_run(config, partition, workload)
        result = run_rtl(plan, workload, expected, options, progress)
        row = {
            "pipeline": spec.name,
            "partition": partition.text,
            "items": [stage.items for stage in spec.stages],
            "macs": macs(workload, expected),
            "mac_limit_cycles": macs(workload, expected) / config.pes,
            "byte_limit_cycles": result["embedding"]["dram_bytes"]
            / (config.axi_bytes * config.axi_channels),
            "plain_cycles": plain_query_cycles(
                plan.deployment, [stage.items for stage in spec.stages]
            ),
            "causes": _shares(result["stages"]),
        }
        keys = ("bit_exact", "cycles", "mac_utilization", "mac_utilization_bound", "stages")
        rows.append(row | {key: result[key] for key in (*keys, "embedding", "wall_s")})
    return rows


def bench_query(args: argparse.Namespace, progress: Callable[[str], None]) -> dict[str, Any]:
    """One query of each pipeline in each partition.

    Raises
    ------
    UserError
        A pipeline or partition that does not exist or does not fit.
    """
    config = preset(args.preset)
    rows = []
    for name in args.pipeline or DEFAULT_PIPELINES:
        spec = pipeline(name).scaled(args.items)
        partitions = args.partition or default_partitions(config, len(spec.stages))
        rows += _rows(config, spec, partitions, args, progress)
    flat = [row | {f"{c}_utilization": share for c, share in row["causes"].items()} for row in rows]
    causes = {f"{cause}_utilization": f"{cause} [%]" for cause in rows[0]["causes"]}
    exact = all(row["bit_exact"] for row in rows)
    text = (
        f"preset {config.name}, {rows[0]['items'][0]} items, simulated Verilog, "
        f"{'bit-exact' if exact else 'NOT bit-exact'}\n"
        f"{table_text(COLUMNS, rows)}\n\nengine cycles by cause\n"
        f"{table_text({'pipeline': 'pipeline', 'partition': 'partition'} | causes, flat)}"
    )
    return {
        "bench": "query",
        "preset": config.name,
        "rows": rows,
        "text": text,
        "status": 0 if exact else 1,
    }
