"""Hit rates of the static cache for Zipf ids, by split between stages and by size, without a run.

The 26 Kaggle tables at full size. Contents are the hottest rows of a training split without end
(the law itself), placed in their sets as ``plan_cache`` does; queries follow the same law.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from golden.criteo import CRITEO_KAGGLE_ROWS
from hdl.config import LINE_BYTES, Config
from sim.timing.dram import Dram

from ..cache_plan import lane_features, ways_in_sets
from ..cache_split import access_cycles

__all__ = ["Law", "Stage", "held_ranks", "query_lines", "split_rates", "splits"]


@dataclass(frozen=True, kw_only=True)
class Stage:
    """What a stage looks up."""

    name: str
    items: int
    """Of a query."""
    row_bytes: int


class Law:
    """Zipf's law over the Kaggle tables: rank r of a table is asked for with r ** -exponent.

    Parameters
    ----------
    exponent
        Of all tables.
    seed
        Of which id has which rank.
    """

    def __init__(self, exponent: float, seed: int = 1) -> None:
        self.exponent = exponent
        self._random = np.random.default_rng(seed)
        self._hottest: dict[int, tuple[NDArray[np.float64], NDArray[np.int64]]] = {}
        self._totals = [
            float((np.arange(1, rows + 1) ** -exponent).sum()) for rows in CRITEO_KAGGLE_ROWS
        ]

    def hottest(self, table: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Shares and ids of a table's hottest rows."""
        count = min(count, CRITEO_KAGGLE_ROWS[table])
        if table not in self._hottest or len(self._hottest[table][0]) < count:
            self._hottest[table] = self._draw(table, 2 * count)
        shares, ids = self._hottest[table]
        return shares[:count], ids[:count]

    def _draw(self, table: int, count: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        rows = CRITEO_KAGGLE_ROWS[table]
        count = min(count, rows)
        shares = np.arange(1, count + 1) ** -self.exponent / self._totals[table]
        random = np.random.default_rng(table + 7)
        if rows < 1 << 20:
            ids = random.permutation(rows)[:count]
        else:
            ids = random.integers(0, rows, count)
        return np.asarray(shares, np.float64), ids.astype(np.int64)

    def ranks(self, table: int, count: int) -> NDArray[np.int64]:
        """Ranks, from 0, of ``count`` ids that queries ask for."""
        rows = CRITEO_KAGGLE_ROWS[table]
        mass = np.cumsum(np.arange(1, rows + 1) ** -self.exponent)
        return np.searchsorted(mass, self._random.random(count) * mass[-1])


def splits(config: Config, stages: Sequence[Stage]) -> list[list[int]]:
    """Sets of each stage in every lane: the first one's, a power of two, and what is left."""
    ways, found = config.cache_ways, []
    sizes = [0] + [1 << n for n in range(config.lane_cache_bytes.bit_length())]
    for first in sizes:
        tags = config.lane_cache_bytes // 8 // ways
        room = config.lane_cache_bytes - first * ways * stages[0].row_bytes
        if room < 0 or first > tags:
            break
        if len(stages) == 1:
            found.append([first])
            continue
        most = min(tags - first, room // (ways * stages[1].row_bytes))
        found.append([first, 1 << most.bit_length() - 1 if most else 0])
    return found


def held_ranks(config: Config, law: Law, stage: int, sets: int) -> list[NDArray[np.int64]]:
    """Ranks, from 0, of the rows of each table that the cache holds."""
    tables = len(CRITEO_KAGGLE_ROWS)
    held: list[NDArray[np.int64]] = [np.zeros(0, np.int64)] * tables
    if not sets:
        return held
    for lane in range(config.gather_lanes):
        features = lane_features(config, lane, tables)
        shares, places, owner, ranks = [], [], [], []
        for table in features:
            share, ids = law.hottest(table, 2 * sets * config.cache_ways)
            seed = (stage * 64 + table) * 0x9E35 & 0xFFFF
            shares.append(share)
            places.append((ids ^ seed) & (sets - 1))
            owner.append(np.full(len(share), table))
            ranks.append(np.arange(len(share)))
        if not shares:
            continue
        order = np.argsort(-np.concatenate(shares), kind="stable")
        fits = ways_in_sets(np.concatenate(places)[order]) < config.cache_ways
        mine, rank = np.concatenate(owner)[order][fits], np.concatenate(ranks)[order][fits]
        for table in features:
            held[table] = rank[mine == table]
    return held


def split_rates(
    config: Config, stages: Sequence[Stage], law: Law, split: Sequence[int]
) -> dict[str, Any]:
    """Hit rate of each stage, and the average access time over all lookups."""
    dram, hits = Dram(), []
    for number, sets in enumerate(split):
        total = 0.0
        for table, ranks in enumerate(held_ranks(config, law, number, sets)):
            share, _ = law.hottest(table, int(ranks.max()) + 1 if len(ranks) else 0)
            total += float(share[ranks].sum())
        hits.append(total / len(CRITEO_KAGGLE_ROWS))
    items = sum(stage.items for stage in stages)
    cycles = [
        access_cycles(config, dram, s.row_bytes, h) * s.items
        for s, h in zip(stages, hits, strict=True)
    ]
    none = [access_cycles(config, dram, s.row_bytes, 0.0) * s.items for s in stages]
    return {
        "zipf": law.exponent,
        "cache_bytes": config.static_cache_bytes,
        "sets": list(split),
        "hit_rates": hits,
        "access_cycles": sum(cycles) / items,
        "access_cycles_without": sum(none) / items,
    }


def query_lines(
    config: Config, stage: Stage, law: Law, held: Sequence[NDArray[np.int64]]
) -> tuple[float, int]:
    """(hit rate, distinct lines fetched) of one drawn query; rows of a line have any ranks."""
    hits = lines = 0
    for table, ranks in enumerate(held):
        rows = CRITEO_KAGGLE_ROWS[table]
        asked = law.ranks(table, stage.items)
        inside = np.isin(asked, ranks)
        hits += int(inside.sum())
        missed = np.unique(asked[~inside])
        # Where a rank's row lies: any place, the same one each time.
        place = missed * 0x9E3779B1 % rows if rows > 1 else missed
        lines += len(np.unique(place * stage.row_bytes // LINE_BYTES))
    return hits / (stage.items * len(held)), lines
