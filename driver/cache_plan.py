"""Static cache plan: which hot rows lie where in every gather lane's share of the cache."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from golden.quantised_model import QuantisedModel
from hdl.config import LINE_BYTES, Config
from hdl.program import CACHE_TAG, PIPELINE_STAGE
from hdl.words import pack

from .errors import UserError

__all__ = [
    "CachePlan",
    "choose_split",
    "lane_features",
    "plan_cache",
    "table_counts",
    "ways_in_sets",
]

_REGIONS = 4
"""Regions of a lane's static cache; programs beyond have none."""


@dataclass(kw_only=True)
class CachePlan:
    """Contents of the static cache.

    ``contents[program]`` is None when the program has no region, else maps
    (table, id) to (lane, set, way); sets count from the start of the lane's tag memory. Tables are
    named by the number of their vector, less 1.
    """

    config: Config
    regions: list[dict[str, int]]
    """CACHE_REGION values of regions 0..3 (region = program mod 4)."""
    contents: list[dict[tuple[int, int], tuple[int, int, int]] | None]
    misses: list[float]
    """Lookups of an item that are expected to miss, by program."""

    def seed(self, program: int, feature: int) -> int:
        """FEATURE.seed: spreads the tables of a lane over the sets."""
        return (program * 64 + feature) * 0x9E35 & 0xFFFF

    def hits(
        self, program: int, ids: NDArray[np.uint32], features: Sequence[int] | None = None
    ) -> NDArray[np.bool_]:
        """Which lookups of ``ids`` hit, [items, places]; the table of each, or one place each."""
        held = self.contents[program]
        out = np.zeros(ids.shape, bool)
        if held is None:
            return out
        for place, feature in enumerate(range(ids.shape[1]) if features is None else features):
            rows = np.array([i for f, i in held if f == feature], np.uint32)
            out[:, place] = np.isin(ids[:, place], rows)
        return out

    def rows_ahead(self, program: int) -> int:
        """Items whose rows may be fetched ahead: misses claim an eighth of the look-ahead cache.

        A set of 4 ways then has half a claim on average, and one in seventy has three: a prefetch
        into such a set is dropped.
        """
        lines = self.config.look_ahead_bytes // LINE_BYTES
        most = (1 << PIPELINE_STAGE["ahead"].width) - 1
        return min(most, math.ceil(lines / 8 / max(self.misses[program], 1e-3)))

    def lane_image(self, lane: int, models: Sequence[QuantisedModel]) -> tuple[bytes, bytes]:
        """Tag words and row data of a lane, as far as its regions go.

        What lies behind is never looked up; nor is anything of a lane without features.
        """
        config = self.config
        tags = np.zeros(self._tags(lane, models), "<u8")
        rows = np.zeros(self._bytes(lane, models), np.uint8)
        for program, held in enumerate(self.contents):
            if held is None:
                continue
            region = self.regions[program % _REGIONS]
            width = models[program].shape.width
            for (feature, id_), (home, set_, way) in held.items():
                if home != lane:
                    continue
                values = {"valid": 1, "table": program * 64 + feature, "id": id_}
                tags[set_ * config.cache_ways + way] = pack(CACHE_TAG, values)
                entry = (set_ - region["set_base"]) * config.cache_ways + way
                start = region["data_base"] + entry * width
                table = models[program].tables[models[program].shape.table_features[feature]]
                rows[start : start + width] = table[id_].view(np.uint8)
        return tags.tobytes(), rows.tobytes()

    def _tags(self, lane: int, models: Sequence[QuantisedModel]) -> int:
        """Tags up to the end of the last region that the lane uses."""
        ends = (r["set_base"] + (1 << r["log2_sets"]) for r, _ in self._used(lane, models))
        return max(ends, default=0) * self.config.cache_ways

    def _bytes(self, lane: int, models: Sequence[QuantisedModel]) -> int:
        """Row data up to the end of the last region that the lane uses, in whole words."""
        ends = (
            r["data_base"] + (self.config.cache_ways << r["log2_sets"]) * width
            for r, width in self._used(lane, models)
        )
        return -(-max(ends, default=0) // 8) * 8

    def _used(
        self, lane: int, models: Sequence[QuantisedModel]
    ) -> Iterator[tuple[dict[str, int], int]]:
        """Regions of programs that have features in the lane, and bytes of their rows."""
        for program, (held, model) in enumerate(zip(self.contents, models, strict=True)):
            if held is not None and lane_features(
                self.config, lane, len(model.shape.table_features)
            ):
                yield self.regions[program % _REGIONS], model.shape.width


def plan_cache(
    config: Config,
    models: Sequence[QuantisedModel],
    counts: Sequence[Sequence[NDArray[np.int64]]],
    items: Sequence[int] | None = None,
    *,
    split: Sequence[int] | None = None,
) -> CachePlan:
    """Choose hot rows from id histograms.

    The cache is cut into one region a program, powers of two of sets, so that as many lookups hit
    as possible; within a lane and region the rows with the highest counts are taken while their set
    has a free way.

    Parameters
    ----------
    counts
        ``counts[program][feature][id]``: how often the id was seen in the training split.
    items
        Items that each program's stage looks up in a query; the same for all when left out.
    split
        Sets of each program's region in every lane, powers of two or 0; None: the driver chooses.

    Raises
    ------
    UserError
        A split beyond the cache's capacity.
    """
    counts = [table_counts(m, c) for m, c in zip(models, counts, strict=True)]
    if split is None:
        split = choose_split(config, models, counts, items or [1] * len(models))
    else:
        _check_split(config, models, split)
    sizes = [n * config.cache_ways * m.shape.width for n, m in zip(split, models, strict=True)]
    empty = {"set_base": 0, "log2_sets": 0, "data_base": 0}
    plan = CachePlan(
        config=config,
        regions=[dict(empty) for _ in range(_REGIONS)],
        contents=[None] * len(models),
        misses=[float(len(histograms)) for histograms in counts],
    )
    set_base = data_base = 0
    # All sizes are powers of two: with the largest first every region is aligned to its rows.
    for program in sorted(range(len(models)), key=lambda p: -sizes[p]):
        sets = split[program]
        if sets == 0:
            continue
        region = {
            "set_base": set_base,
            "log2_sets": sets.bit_length() - 1,
            "data_base": data_base,
        }
        plan.regions[program] = region
        held = plan.contents[program] = _fill(plan, program, counts[program], sets, set_base)
        seen = sum(int(h.sum()) for h in counts[program])
        found = sum(int(counts[program][f][i]) for f, i in held)
        plan.misses[program] *= 1 - found / max(1, seen)
        set_base += sets
        data_base += sizes[program]
    return plan


def table_counts(
    model: QuantisedModel, counts: Sequence[NDArray[np.int64]]
) -> list[NDArray[np.int64]]:
    """Histograms of the features that come from tables, in the order of their vectors."""
    return [counts[feature] for feature in model.shape.table_features]


def lane_features(config: Config, lane: int, count: int) -> range:
    """Features of a lane: vector 1 + f belongs to lane (1 + f) mod G."""
    return range((lane - 1) % config.gather_lanes, count, config.gather_lanes)


def _check_split(config: Config, models: Sequence[QuantisedModel], split: Sequence[int]) -> None:
    text, ways = "+".join(map(str, split)), config.cache_ways
    if any(split[_REGIONS:]):
        raise UserError(f"cache split {text}: only the first {_REGIONS} stages have a share")
    size = sum(n * ways * m.shape.width for n, m in zip(split, models, strict=True))
    if size > config.lane_cache_bytes:
        raise UserError(
            f"cache split {text} needs {size} bytes of every lane, it has {config.lane_cache_bytes}"
        )
    tags = config.lane_cache_bytes // 8 // ways
    if sum(split) > tags:
        raise UserError(f"cache split {text} needs {sum(split)} sets of every lane, it has {tags}")


def choose_split(
    config: Config,
    models: Sequence[QuantisedModel],
    counts: Sequence[Sequence[NDArray[np.int64]]],
    items: Sequence[int],
) -> list[int]:
    """Sets of each program's region in every lane.

    The region whose next doubling gains most hits a byte is doubled, as long as one fits. Hits are
    taken as those of the hottest rows, wherever their sets are.
    """
    ways = config.cache_ways
    # By program and lane: lookups of a query that the hottest 0, 1, 2, .. rows catch.
    hits: list[list[NDArray[np.float64]]] = []
    for program, histograms in enumerate(counts):
        total = max(1, sum(int(h.sum()) for h in histograms))
        scale = items[program] * len(histograms) / total
        lanes = []
        for lane in range(config.gather_lanes):
            mine = [histograms[f] for f in lane_features(config, lane, len(histograms))]
            rows = np.concatenate(mine) if mine else np.zeros(0, np.int64)
            lanes.append(np.concatenate([[0], np.cumsum(np.sort(rows)[::-1])]) * scale)
        hits.append(lanes)

    def gain(program: int, sets: int) -> float:
        return sum(float(lane[min(sets * ways, len(lane) - 1)]) for lane in hits[program])

    room = config.lane_cache_bytes
    tags = config.lane_cache_bytes // 8 // ways
    split = [0] * len(models)
    while True:
        best, value = -1, 0.0
        for program, model in enumerate(models[:_REGIONS]):
            more = split[program] or 1
            size = more * ways * model.shape.width
            if size > room or more > tags:
                continue
            found = (gain(program, split[program] + more) - gain(program, split[program])) / size
            if found > value:
                best, value = program, found
        if best < 0:
            return split
        more = split[best] or 1
        split[best] += more
        tags -= more
        room -= more * ways * models[best].shape.width


def _fill(
    plan: CachePlan,
    program: int,
    counts: Sequence[NDArray[np.int64]],
    sets: int,
    set_base: int,
) -> dict[tuple[int, int], tuple[int, int, int]]:
    """Place the hottest rows of each lane until its sets are full."""
    config = plan.config
    held: dict[tuple[int, int], tuple[int, int, int]] = {}
    for lane in range(config.gather_lanes):
        features = lane_features(config, lane, len(counts))
        feature_of = [np.full(np.count_nonzero(counts[f]), f) for f in features]
        ids_of = [np.flatnonzero(counts[f]) for f in features]
        if not feature_of:
            continue
        feature = np.concatenate(feature_of)
        ids = np.concatenate(ids_of)
        weight = np.concatenate([counts[f][i] for f, i in zip(features, ids_of, strict=True)])
        order = np.lexsort((ids, feature, -weight))
        seeds = np.array([plan.seed(program, f) for f in range(len(counts))])
        sets_of = ((ids ^ seeds[feature]) & (sets - 1))[order]
        ways = ways_in_sets(sets_of)
        fits = ways < config.cache_ways
        rows = (feature[order][fits], ids[order][fits], sets_of[fits] + set_base, ways[fits])
        for f, id_, set_, way in zip(*(column.tolist() for column in rows), strict=True):
            held[f, id_] = (lane, set_, way)
    return held


def ways_in_sets(sets: NDArray[np.int64]) -> NDArray[np.int64]:
    """Number of each entry among those of its set, in the order given."""
    order = np.argsort(sets, kind="stable")
    sorted_sets = sets[order]
    ways = np.empty(len(sets), np.int64)
    ways[order] = np.arange(len(sets)) - np.searchsorted(sorted_sets, sorted_sets)
    return ways
