"""``rpaccel run``: queries of a pipeline on a back end, compared with the golden model."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from golden.pipeline import QueryResult, run_float, run_integer
from golden.quality import ndcg
from hdl.config import Config, preset

from .errors import UserError
from .mapping import EngineMap
from .partition import Partition, parse_partition
from .pipelines import Pipeline, pipeline
from .workload import Workload, load_workload

__all__ = ["golden_results", "quality", "run", "utilization_bound"]


def _progress(text: str) -> None:
    """One line on stderr for long work."""
    print(text, file=sys.stderr, flush=True)


def golden_results(workload: Workload, *, keep_layers: bool) -> list[QueryResult]:
    """Integer golden results of every query, from the original models and queries."""
    keep = [stage.keep for stage in workload.pipeline.stages]
    return [
        run_integer(
            workload.quantised,
            keep,
            query.dense,
            query.ids,
            keep_layers=keep_layers,
        )
        for query in workload.queries
    ]


def quality(workload: Workload, results: Sequence[Any]) -> dict[str, Any] | None:
    """NDCG of the returned items and of the float models; None without labels.

    Parameters
    ----------
    results
        Item indices of each query, best first.
    """
    if not workload.labelled:
        return None
    keep = [stage.keep for stage in workload.pipeline.stages]
    mine, reference = [], []
    for query, items in zip(workload.queries, results, strict=True):
        if query.labels is None:
            return None
        exact = run_float(workload.models, keep, query.dense_float, query.ids)
        mine.append(ndcg(query.labels[items], query.labels))
        reference.append(ndcg(query.labels[exact.items], query.labels))
    return {
        "ndcg_at_k": float(np.mean(mine)),
        "ndcg_at_k_float": float(np.mean(reference)),
        "k": keep[-1],
    }


def macs(spec: Pipeline, workload: Workload, queries: int) -> int:
    """Unpadded MLP MACs of all queries."""
    return queries * sum(
        stage.items * model.shape.macs
        for stage, model in zip(spec.stages, workload.quantised, strict=True)
    )


def utilization_bound(
    config: Config, spec: Pipeline, workload: Workload, maps: dict[int, EngineMap]
) -> float:
    """Share of MACs that tile padding leaves, each stage on the engine that pads it least."""
    useful = padded = 0
    for number, (stage, model) in enumerate(zip(spec.stages, workload.quantised, strict=True)):
        useful += stage.items * model.shape.macs
        padded += stage.items * min(
            (m.stages[number].bottom.tiles + m.stages[number].top.tiles) * m.edge**2
            for m in maps.values()
            if number in m.stages
        )
    return useful / padded


def _unsupported(args: argparse.Namespace) -> None:
    """Words of the contract that this version does not carry yet: said, never ignored."""
    if args.backend in ("timing", "board"):
        raise UserError(f"--backend {args.backend} is not available yet; use rtl or golden")
    if args.policy != "exact":
        raise UserError(f"--policy {args.policy} is not available yet; use exact")
    if args.sub_batches not in (None, 1):
        raise UserError(f"--sub-batches must be 1 in this version, not {args.sub_batches}")
    if args.report is not None:
        raise UserError("--report is not available yet; use --json")
    if args.port is not None:
        raise UserError("--port goes with --backend board, which is not available yet")


def run(args: argparse.Namespace) -> dict[str, Any]:
    """Run queries and compare; see the command line for the fields of ``args``.

    Returns
    -------
    The keys of the contract, ``text`` for people and ``status``: 0 when all is equal, else 1.

    Raises
    ------
    UserError
        Bad input.
    """
    _unsupported(args)
    config = preset(args.preset)
    spec = pipeline(args.pipeline).scaled(args.items)
    if spec.stages[0].items > config.max_items:
        raise UserError(
            f"{spec.name} ranks {spec.stages[0].items} items, {config.name} takes at most "
            f"{config.max_items}; see --items"
        )
    if not config.features.on_chip_filter and len(spec.stages) > 1:
        raise UserError(
            f"{config.name} filters on the host and runs one stage; {spec.name} has "
            f"{len(spec.stages)}"
        )
    partition = parse_partition(config, args.partition, stages=len(spec.stages))
    _progress(f"{spec.name}: models and queries")
    workload = load_workload(spec, queries=args.queries, max_rows=args.max_rows, seed=args.seed)
    _progress(f"golden model: {args.queries} queries of {spec.stages[0].items} items")
    started = time.perf_counter()
    expected = golden_results(workload, keep_layers=args.backend == "rtl")
    result = _base(config, spec, partition, args)
    if args.backend == "golden":
        result |= _golden_result(workload, expected, time.perf_counter() - started)
    else:
        from .rtl import run_rtl

        result |= run_rtl(config, spec, partition, workload, expected, args, _progress)
    result["notes"] = workload.notes
    from .report import report_text

    result["text"] = report_text(result)
    result["status"] = 0 if result["bit_exact"] in (True, None) else 1
    return result


def _base(
    config: Config, spec: Pipeline, partition: Partition, args: argparse.Namespace
) -> dict[str, Any]:
    return {
        "preset": config.name,
        "pipeline": spec.name,
        "partition": partition.text,
        "backend": args.backend,
        "simulator": args.simulator if args.backend == "rtl" else None,
        "config_hash": f"{config.hash:08x}",
        "queries": args.queries,
        "items": spec.stages[0].items,
        "stages": [
            {"name": stage.model, "items_in": stage.items, "items_out": stage.keep}
            for stage in spec.stages
        ],
    }


def _golden_result(
    workload: Workload, expected: list[QueryResult], seconds: float
) -> dict[str, Any]:
    return {
        "bit_exact": None,
        "cycles": None,
        "cycles_per_query": None,
        "load_cycles": None,
        "wall_s": seconds,
        "mac_utilization": None,
        "mac_utilization_bound": None,
        "embedding": None,
        "quality": quality(workload, [r.items for r in expected]),
        "counters": None,
        "top": [
            {"item": int(i), "score": int(s)}
            for i, s in zip(expected[0].items, expected[0].scores, strict=True)
        ],
    }
