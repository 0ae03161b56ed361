"""``rpaccel bench embedding``: what the gather lanes, the caches and device memory reach."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import asdict, replace
from typing import Any

import numpy as np

from golden.criteo import CRITEO_KAGGLE_ROWS
from hdl.config import LINE_BYTES, Config, preset
from sim.timing.dram import Dram

from ..cache_split import SplitPoint, split_curve, split_rows
from ..pipelines import pipeline
from ..workload import load_workload
from .dram_agent import sustainable_cycles
from .embedding_query import QUERY_COLUMNS, measure_query
from .gather_unit import GatherScene, held_rows, run_unit
from .hit_rates import Law, Stage, held_ranks, query_lines, split_rates, splits
from .table import table_text

__all__ = ["PARTS", "bench_embedding"]

PARTS = ("hits", "misses", "rates", "splits", "query")
Progress = Callable[[str], None]
Rows = list[dict[str, Any]]

EXPONENTS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.05, 1.1, 1.2)
STAGES = (
    Stage(name="RMsmall", items=4096, row_bytes=4),
    Stage(name="RMlarge", items=512, row_bytes=32),
)
"""Of ``kaggle-2``."""
_HOT_ROWS = 8
"""Rows of a table in the static cache, where all lookups are to hit."""
_COLD_ROWS = 20_000
_RECORD_BEATS = (13, 4)
"""Dense values and bytes of an id, of which a record is made."""

HIT_COLUMNS = {
    "tables": "tables",
    "row_bytes": "row [bytes]",
    "lookups": "lookups",
    "cycles": "RTL [cycles]",
    "limit_cycles": "limit [cycles]",
    "limit": "limit",
    "rows_per_cycle": "rows/cycle",
    "lane_rows_per_cycle": "busiest lane",
    "peak_utilization": "limit of peak [%]",
    "utilization": "of limit [%]",
}
MISS_COLUMNS = {
    "tables": "tables",
    "lookups": "lookups",
    "misses": "misses",
    "cycles_per_burst": "RTL [cycles/64 B]",
    "limit_cycles_per_burst": "DRAM alone [cycles/64 B]",
    "utilization": "of limit [%]",
}
RATE_COLUMNS = {
    "law": "Zipf",
    "cache_bytes": "cache [bytes]",
    "sets": "sets a lane",
    "front_utilization": "front hits [%]",
    "back_utilization": "back hits [%]",
    "access_cycles": "access [cycles]",
    "access_cycles_without": "without cache",
}
PAPER_COLUMNS = {
    "law": "Zipf",
    "front_utilization": "front hits [%]",
    "back_utilization": "back hits [%]",
    "lines": "lines a query",
    "dram_cycles": "DRAM [cycles]",
    "bound_cycles": "no two misses share a line",
}


def _hits(config: Config, lookups: int, seed: int, progress: Progress) -> Rows:
    """All rows in the static cache; tables spread evenly, and the 26 of Kaggle."""
    lanes = config.gather_lanes
    rows = []
    for tables in (-(-26 // lanes) * lanes, 26):
        for row_bytes in (4, 32):
            items = -(-lookups // tables)
            progress(f"{config.name}: hits, {tables} tables, rows of {row_bytes} bytes")
            hot = min(_HOT_ROWS, held_rows(config, tables, row_bytes))
            ids = np.random.default_rng(seed).integers(0, hot, (items, tables))
            scene = GatherScene(
                config=config, rows=hot, row_bytes=row_bytes, ids=ids.astype(np.uint32),
                cached=hot, dense=0,
            )  # fmt: skip
            seen = run_unit(scene, Dram(), limit=40 * lookups)
            words = -(-row_bytes // config.lane_bytes)
            lane_cycles = items * words * -(-tables // lanes)
            record_cycles = seen.beats // config.axi_channels
            limit = max(lane_cycles, record_cycles)
            rows.append(
                {
                    "tables": tables,
                    "row_bytes": row_bytes,
                    "lookups": seen.lookups,
                    "hits": seen.static_hits,
                    "cycles": seen.cycles,
                    "limit_cycles": limit,
                    "limit": "lanes" if lane_cycles >= record_cycles else "records",
                    "rows_per_cycle": seen.lookups / seen.cycles,
                    "lane_rows_per_cycle": max(seen.by_lane) / words / seen.cycles,
                    "peak_utilization": tables * items * words / (lanes * limit),
                    "utilization": limit / seen.cycles,
                }
            )
    return rows


def _misses(config: Config, lookups: int, seed: int, progress: Progress) -> Rows:
    """Random rows of 64 bytes, none cached, against the same memory asked without a pause."""
    rows = []
    for tables in (-(-26 // config.gather_lanes) * config.gather_lanes, 26):
        progress(f"{config.name}: misses, {tables} tables")
        random = np.random.default_rng(seed)
        ids = random.integers(0, _COLD_ROWS, (-(-lookups // tables), tables))
        scene = GatherScene(
            config=config, rows=_COLD_ROWS, row_bytes=LINE_BYTES, ids=ids.astype(np.uint32)
        )
        seen = run_unit(scene, Dram(), limit=400 * lookups)
        span = tables * _COLD_ROWS
        drawn = iter((random.integers(0, span, 8000) * LINE_BYTES).tolist())
        count = 4000
        alone = sustainable_cycles(
            Dram(), drawn, count, beat_bytes=config.axi_bytes, burst_bytes=LINE_BYTES
        )
        beats = LINE_BYTES // config.axi_bytes
        limit = alone / count / config.axi_channels
        rows.append(
            {
                "tables": tables,
                "lookups": seen.lookups,
                "misses": seen.misses,
                "cycles": seen.cycles,
                "cycles_per_burst": seen.cycles_per_beat * beats / config.axi_channels,
                "limit_cycles_per_burst": limit,
                "utilization": limit / (seen.cycles_per_beat * beats / config.axi_channels),
            }
        )
    return rows


def _best(config: Config, law: Law) -> dict[str, Any]:
    found = [split_rates(config, STAGES, law, split) for split in splits(config, STAGES)]
    best = min(found, key=lambda row: float(row["access_cycles"]))
    front, back = best["hit_rates"]
    return best | {
        "law": f"{law.exponent:.2f}",
        "front_utilization": front,
        "back_utilization": back,
    }


def _rates(config: Config, progress: Progress) -> tuple[Rows, Rows, Rows]:
    """Best split by exponent and size; every split at 1.05; DRAM of a query, all by the law."""
    by_size: Rows = []
    by_split: Rows = []
    traffic: Rows = []
    for exponent in EXPONENTS:
        progress(f"{config.name}: hit rates, Zipf {exponent}")
        law = Law(exponent)
        for factor in (0.25, 0.5, 1.0):
            size = int(config.static_cache_bytes * factor)
            unit = LINE_BYTES * config.cache_ways * config.gather_lanes
            if size < unit:
                continue
            smaller = replace(config, static_cache_bytes=size // unit * unit)
            best = _best(smaller, law)
            by_size.append(best | {"sets": "+".join(map(str, best["sets"]))})
        traffic.append(_traffic(config, law, best["sets"]))
        if exponent == 1.05:
            for split in splits(config, STAGES):
                row = split_rates(config, STAGES, law, split)
                front, back = row["hit_rates"]
                by_split.append(
                    row
                    | {"law": f"{exponent:.2f}"}
                    | {"front_utilization": front, "back_utilization": back}
                    | {"sets": "+".join(map(str, split))}
                )
    return by_size, by_split, traffic


def _traffic(config: Config, law: Law, split: list[int]) -> dict[str, Any]:
    """Device memory of a drawn query: lines of both stages, records, at the sustainable rate."""
    hits, lines, bound = [], 0, 0
    tables = len(CRITEO_KAGGLE_ROWS)
    for number, (stage, sets) in enumerate(zip(STAGES, split, strict=True)):
        hit, count = query_lines(config, stage, law, held_ranks(config, law, number, sets))
        hits.append(hit)
        lines += count
        bound += round((1 - hit) * stage.items * tables)
    dense, id_bytes = _RECORD_BEATS
    beats = -(-dense // config.axi_bytes) + -(-id_bytes * tables // config.axi_bytes)
    records = sum(stage.items for stage in STAGES) * beats
    width = config.axi_bytes * config.axi_channels
    return {
        "zipf": law.exponent,
        "law": f"{law.exponent:.2f}",
        "front_utilization": hits[0],
        "back_utilization": hits[1],
        "lines": lines,
        "dram_cycles": lines * LINE_BYTES / width + records / config.axi_channels,
        "bound_cycles": bound * LINE_BYTES / width + records / config.axi_channels,
    }


def _workload_splits(
    config: Config, args: argparse.Namespace
) -> tuple[list[SplitPoint], list[str]]:
    spec = pipeline("kaggle-2").scaled(args.items)
    workload = load_workload(spec, queries=1, max_rows=args.max_rows, seed=args.seed)
    return split_curve(config, workload), [stage.model for stage in spec.stages]


def bench_embedding(args: argparse.Namespace, progress: Progress) -> dict[str, Any]:
    """Lanes on hits, misses against DRAM, hit rates by law, split and size, a whole query.

    Raises
    ------
    ConfigError
        A preset that does not exist.
    """
    config = preset(args.preset)
    parts = [args.only] if args.only else list(PARTS)
    result: dict[str, Any] = {"bench": "embedding", "preset": config.name}
    text = []
    if "hits" in parts:
        result["hits"] = _hits(config, args.lookups, args.seed, progress)
        text += [
            f"preset {config.name}: all rows in the static cache, embedding unit in RTL",
            table_text(HIT_COLUMNS, result["hits"]),
            "",
        ]
    if "misses" in parts:
        result["misses"] = _misses(config, max(1, args.lookups // 4), args.seed, progress)
        text += [
            "random 64-byte rows, none cached, embedding unit in RTL; records share the memory",
            table_text(MISS_COLUMNS, result["misses"]),
            "",
        ]
    if "rates" in parts:
        by_size, by_split, traffic = _rates(config, progress)
        result |= {"rates": by_size, "splits": by_split, "traffic": traffic}
        text += [
            "static cache, kaggle-2, 33.8 M rows: best split by Zipf exponent and size",
            table_text(RATE_COLUMNS, by_size),
            "",
            "by split, Zipf 1.05",
            table_text(RATE_COLUMNS, by_split),
            "",
            "device memory of a kaggle-2 query",
            table_text(PAPER_COLUMNS, traffic),
        ]
    if "splits" in parts:
        points, names = _workload_splits(config, args)
        result["workload_splits"] = [asdict(point) for point in points]
        head, *rows = split_rows(points, names)
        keys = dict(enumerate(head))
        text += [
            "kaggle-2 as it runs: rows chosen from its training split, hits of its queries",
            table_text(
                {str(k): v for k, v in keys.items()},
                [{str(k): cell for k, cell in enumerate(row)} for row in rows],
            ),
            "",
        ]
    if "query" in parts:
        result["query"] = measure_query(config, args, progress)
        text += [
            f"kaggle-2, back end {args.backend}, 4 quota sub-batches",
            table_text(QUERY_COLUMNS, result["query"]),
        ]
    return result | {"text": "\n".join(text).rstrip("\n")}
