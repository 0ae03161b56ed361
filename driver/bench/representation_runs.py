"""Whole queries of MP-Rec's models: cycles an item, array and hash lanes at work, held vectors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from golden.shape import REPRESENTATIONS
from hdl.config import Config, preset

from ..options import RunOptions
from ..partition import Partition, parse_partition
from ..pipelines import fitted, pipeline
from ..rtl import plan_run, run_rtl
from ..run import golden_results
from ..timing import run_timing
from ..workload import Workload, load_workload

__all__ = ["RUN_COLUMNS", "run_representations"]

LINE_BYTES = 64
"""Device memory is read in bursts of this size."""
RUN_COLUMNS = {
    "preset": "preset",
    "backend": "back end",
    "pipeline": "pipeline",
    "vectors": "held vectors",
    "hit_utilization": "hits [%]",
    "cycles_per_item": "cycles/item",
    "mac_utilization": "MACs [%]",
    "hash_utilization": "hash lanes [%]",
    "left_utilization": "decoder cycles left [%]",
    "removed": "removed / hits",
    "crossover": "crossover [bytes/cycle]",
}


def _decoding(stage: dict[str, Any]) -> int:
    """Cycles of the array in phases: rows, and waits for weights."""
    stalls = stage["stall_cycles"]
    return int(stage["busy_cycles"] + stalls["weights"] + stalls["stream"])


def _lanes(config: Config, partition: Partition) -> int:
    """Hash lanes of the engines."""
    return sum(config.hash_lanes_at(engine.row, engine.column) for engine in partition.engines)


def _row(
    config: Config,
    workload: Workload,
    partition: Partition,
    backend: str,
    held: int,
    progress: Callable[[str], None],
) -> dict[str, Any]:
    spec = workload.pipeline
    options = RunOptions(preset=config.name, pipeline=spec.name, backend=backend, mp_cache=held)
    progress(f"{config.name}, {spec.name}, {held} held vectors: {backend}")
    expected = golden_results(workload, keep_layers=backend == "rtl")
    plan = plan_run(config, partition, workload, held=held)
    if backend == "rtl":
        result = run_rtl(plan, workload, expected, options, progress)
    else:
        result = run_timing(plan, workload, expected, options)
    items, cache = spec.stages[0].items, result["embedding"]["mp_cache"]
    shape = workload.models[0].shape
    hashes = max((sizes[0] for sizes in shape.decoders if sizes), default=0)
    decoded = cache["misses"] if config.held_bytes else items * len(shape.dhe_features)
    lanes = max(1, _lanes(config, partition))
    return {
        "preset": config.name,
        "backend": backend,
        "pipeline": spec.name,
        "partition": partition.text,
        "items": items,
        "bit_exact": result["bit_exact"],
        "vectors": cache["vectors"],
        "hit_utilization": cache["hits"] / cache["lookups"] if cache["lookups"] else 0.0,
        "cycles": result["cycles"],
        "cycles_per_item": result["cycles"] / items,
        "mac_utilization": result["mac_utilization"],
        "hash_utilization": decoded * hashes / (lanes * result["cycles"]),
        "phase_cycles": _decoding(result["stages"][0]),
        "stall_cycles": result["stages"][0]["stall_cycles"],
        "dram_bytes": result["embedding"]["dram_bytes"],
        "left_utilization": None,
        "removed": None,
        "crossover": None,
    }


def _compare(
    row: dict[str, Any], tables: dict[str, Any], whole: dict[str, Any], lines: int
) -> None:
    """What held vectors left of the decoders' cycles; ``whole``: the same without them."""
    decoders = whole["phase_cycles"] - tables["phase_cycles"]
    left = (row["phase_cycles"] - tables["phase_cycles"]) / decoders
    row["left_utilization"] = left
    hits = row["hit_utilization"]
    row["removed"] = f"{(1 - left) / hits:.3f}" if hits else None
    row["crossover"] = f"{lines / row['cycles_per_item']:.3f}"


def run_representations(
    names: Sequence[tuple[str, str]],
    *,
    items: int,
    max_rows: int,
    held: Sequence[int] | None,
    seed: int,
    progress: Callable[[str], None],
) -> list[dict[str, Any]]:
    """Kaggle's models on devices.

    Parameters
    ----------
    names
        Preset and back end, ``rtl`` or ``timing``.
    items, max_rows, seed
        Of the query and its tables, items an engine; engines are the smallest that all have hash
        lanes.
    held
        Vectors held, beside none; None: an eighth of what the device holds, and all. Those of
        DHE only.
    """
    rows = []
    for name, backend in names:
        config = preset(name)
        edge = config.sub_array << config.hash_level
        engines = (config.edge // edge) ** 2
        partition = parse_partition(config, f"{edge}x{edge}:{engines}", stages=1)
        room = config.held_sets * config.held_ways
        sizes = [n for n in (held if held is not None else (room // 8, room)) if n]
        tables: dict[str, Any] = {}
        for representation in REPRESENTATIONS:
            spec, _ = fitted(
                pipeline(f"mprec-kaggle-{representation}").scaled(items * engines), config.edge
            )
            workload = load_workload(spec, queries=1, max_rows=max_rows, seed=seed)
            shape = workload.models[0].shape
            row = _row(config, workload, partition, backend, 0, progress)
            rows.append(row)
            if representation == "table":
                tables = row | {"lines": shape.sparse_features * LINE_BYTES}
                continue
            every = [row]
            if representation == "dhe":
                every += [_row(config, workload, partition, backend, n, progress) for n in sizes]
            for one in every:
                _compare(one, tables, row, tables["lines"])
            rows += every[1:]
    return rows
