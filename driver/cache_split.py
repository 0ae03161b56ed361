"""The static cache's split between stages: parsed, and what every split gives."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.embedding import EMPTY_ID
from golden.quantised_model import QuantisedModel
from hdl.config import LINE_BYTES, Config
from sim.timing.dram import Dram

from .cache_plan import CachePlan, choose_split, plan_cache, table_counts
from .errors import UserError
from .workload import Workload

__all__ = ["SplitPoint", "access_cycles", "parse_split", "split_curve", "split_rows"]


@dataclass(frozen=True, kw_only=True)
class SplitPoint:
    """A split, and what the workload's queries would see."""

    sets: tuple[int, ...]
    """Of each stage, in every lane."""
    hit_rates: tuple[float, ...]
    """Of each stage, in the static cache alone."""
    access_cycles: float
    """Average memory access time of a lookup."""
    chosen: bool
    """The one that the driver loads."""


def parse_split(text: str, stages: int) -> list[int]:
    """``"256+64"``: sets of each stage in every lane.

    Raises
    ------
    UserError
        Not one number a stage, or one that is neither 0 nor a power of two.
    """
    try:
        sets = [int(part) for part in text.split("+")]
    except ValueError:
        sets = []
    if len(sets) != stages:
        raise UserError(f"cache split must be {stages} numbers such as 256+64, not {text!r}")
    for count in sets:
        if count < 0 or count & (count - 1):
            raise UserError(f"cache split: sets must be 0 or a power of two, not {count}")
    return sets


def access_cycles(config: Config, dram: Dram, row_bytes: int, hit: float) -> float:
    """Average cycles of a lookup, nothing else being asked for: a hit is read word by word, a miss
    waits for its line from a row that is not open."""
    words = -(-row_bytes // config.lane_bytes)
    lines = -(-row_bytes // LINE_BYTES)
    miss = dram.latency + dram.row_cycles + lines * LINE_BYTES // config.axi_bytes
    return words + (1 - hit) * miss


def _splits(config: Config, widths: Sequence[int]) -> list[list[int]]:
    """First stage: any power of two; the others share what is left, each half of the rest."""
    ways = config.cache_ways
    found = []
    for first in [0] + [1 << n for n in range(config.lane_cache_bytes.bit_length())]:
        room = config.lane_cache_bytes - first * ways * widths[0]
        tags = config.lane_cache_bytes // 8 // ways - first
        if room < 0 or tags < 0:
            break
        split = [first]
        for number, width in enumerate(widths[1:], start=1):
            share = 1 if number == len(widths) - 1 else 2
            most = min(tags, room // (ways * width)) // share
            sets = 1 << most.bit_length() - 1 if most else 0
            split.append(sets)
            room -= sets * ways * width
            tags -= sets
        found.append(split)
    return found


def _rate(plan: CachePlan, number: int, model: QuantisedModel, ids: NDArray[np.uint32]) -> float:
    """Hits of a query's lookups, all its items ranked; 0 without lookups."""
    places = model.shape.table_places
    mine = ids[:, [place for _, place in places]]
    used = mine != EMPTY_ID
    hits = plan.hits(number, mine, [table for table, _ in places])
    return float(hits[used].mean()) if used.any() else 0.0


def split_curve(config: Config, workload: Workload) -> list[SplitPoint]:
    """Hit rates of the queries' items by split, contents chosen from the training split's ids.

    Every item of a query counts in every stage: which ones survive does not depend on the cache.
    """
    stages = workload.pipeline.stages
    models, counts = workload.quantised, workload.counts
    items = [stage.items for stage in stages]
    widths = [model.shape.width for model in models]
    mine = [table_counts(m, c) for m, c in zip(models, counts, strict=True)]
    chosen = choose_split(config, models, mine, items)
    points: list[SplitPoint] = []
    for split in _splits(config, widths) + [chosen]:
        if split == chosen and any(point.chosen for point in points):
            continue
        plan = plan_cache(config, models, counts, items, split=split)
        rates = tuple(
            float(np.mean([_rate(plan, number, model, q.ids) for q in workload.queries]))
            for number, model in enumerate(models)
        )
        cycles = [
            access_cycles(config, Dram(), width, rate) * count
            for width, rate, count in zip(widths, rates, items, strict=True)
        ]
        points.append(
            SplitPoint(
                sets=tuple(split),
                hit_rates=rates,
                access_cycles=sum(cycles) / sum(items),
                chosen=split == chosen,
            )
        )
    return sorted(points, key=lambda point: point.sets)


def split_rows(points: Sequence[SplitPoint], names: Sequence[str]) -> list[list[str]]:
    """The curve as a table."""
    best = min(point.access_cycles for point in points)
    head = ["sets a lane", *(f"{name} hits" for name in names), "access cycles", ""]
    return [head] + [
        [
            "+".join(map(str, point.sets)),
            *(f"{100 * rate:.1f} %" for rate in point.hit_rates),
            f"{point.access_cycles:.2f}",
            ", ".join(
                word
                for word, holds in (("best", point.access_cycles == best), ("loaded", point.chosen))
                if holds
            ),
        ]
        for point in points
    ]
