"""Static cache plan: regions, what they hold, which lookups hit."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from driver.cache_plan import plan_cache
from driver.cache_split import parse_split, split_curve, split_rows
from driver.errors import UserError
from driver.pipelines import pipeline
from driver.workload import load_workload
from golden.cache import CachedTable, StaticCache, choose_contents
from hdl.config import preset

TINY = preset("tiny")


def model(width: int, tables: int) -> Any:
    return SimpleNamespace(shape=SimpleNamespace(width=width, table_features=range(tables)))


def histograms(seed: int, features: int, rows: int) -> list[np.ndarray]:
    random = np.random.default_rng(seed)
    return [np.sort(random.zipf(1.3, rows) % 1000)[::-1].astype(np.int64) for _ in range(features)]


def test_regions_fill_a_cache_that_is_no_power_of_two() -> None:
    """Two programs of equal rows share 3 KB a lane as 2 + 1."""
    counts = [histograms(n, 5, 400) for n in range(2)]
    plan = plan_cache(TINY, [model(16, 5), model(16, 5)], counts, [100, 20])
    sizes = [(1 << r["log2_sets"]) * TINY.cache_ways * 16 for r in plan.regions[:2]]
    assert sizes == [2048, 1024]
    assert TINY.lane_cache_bytes == 3072


@pytest.mark.parametrize("widths", [(4, 128), (128, 4), (16, 16, 64), (8,)])
def test_regions_do_not_meet_and_rows_are_aligned(widths: tuple[int, ...]) -> None:
    models = [model(width, 4) for width in widths]
    counts = [histograms(n, 4, 300) for n in range(len(widths))]
    plan = plan_cache(TINY, models, counts)
    used: list[tuple[int, int]] = []
    tags: list[tuple[int, int]] = []
    for program, width in enumerate(widths):
        if plan.contents[program] is None:
            continue
        region = plan.regions[program]
        sets = 1 << region["log2_sets"]
        assert region["data_base"] % width == 0
        used.append((region["data_base"], region["data_base"] + sets * TINY.cache_ways * width))
        tags.append((region["set_base"], region["set_base"] + sets))
    for spans, limit in (
        (used, TINY.lane_cache_bytes),
        (tags, TINY.lane_cache_bytes // 8 // TINY.cache_ways),
    ):
        spans.sort()
        assert spans[-1][1] <= limit
        assert all(a[1] <= b[0] for a, b in zip(spans, spans[1:], strict=False))


def test_contents_are_golden_s() -> None:
    """What the regions hold is what the golden model would choose for them."""
    config = replace(TINY, gather_lanes=2)
    counts = [histograms(n, 3, 200) for n in range(2)]
    plan = plan_cache(config, [model(32, 3), model(16, 3)], counts)
    for program, histogram in enumerate(counts):
        region = plan.regions[program]
        tables = [
            CachedTable(
                table=program * 64 + f,
                lane=(1 + f) % 2,
                set_base=region["set_base"],
                log2_sets=region["log2_sets"],
                seed=plan.seed(program, f),
            )
            for f in range(3)
        ]
        golden = choose_contents(
            tables,
            ways=config.cache_ways,
            histograms={t.table: h for t, h in zip(tables, histogram, strict=True)},
        )
        held = plan.contents[program]
        assert held is not None
        assert {place: (program * 64 + f, i) for (f, i), place in held.items()} == golden
        cache = StaticCache(tables, ways=config.cache_ways, contents=golden)
        ids = np.random.default_rng(program).integers(0, 200, (500, 3)).astype(np.uint32)
        for f, table in enumerate(tables):
            assert (plan.hits(program, ids)[:, f] == cache.hits(table.table, ids[:, f])).all()


def test_more_lookups_get_more_cache() -> None:
    counts = [histograms(1, 4, 2000)] * 2
    plan = plan_cache(TINY, [model(16, 4), model(16, 4)], counts, [1, 50])
    assert plan.regions[1]["log2_sets"] > plan.regions[0]["log2_sets"]


def test_split_is_the_callers_or_refused() -> None:
    """Every split that the curve offers fits; one set more does not."""
    config = preset("small")
    workload = load_workload(pipeline("kaggle-2").scaled(64), queries=1, max_rows=500, seed=1)
    points = split_curve(config, workload)
    assert sum(point.chosen for point in points) == 1
    best = min(points, key=lambda point: point.access_cycles)
    (chosen,) = [point for point in points if point.chosen]
    assert chosen.access_cycles <= 1.1 * best.access_cycles
    none = next(point for point in points if not any(point.sets[:1]))
    assert none.hit_rates[0] == 0 and best.hit_rates[0] > 0.3
    rows = split_rows(points, ["a", "b"])
    assert len(rows) == len(points) + 1
    models, counts = workload.quantised, workload.counts
    plan = plan_cache(config, models, counts, split=best.sets)
    held = [len(contents or {}) for contents in plan.contents]
    lanes = config.gather_lanes * config.cache_ways
    assert all(n <= sets * lanes for n, sets in zip(held, best.sets, strict=True))
    with pytest.raises(UserError, match="needs 16384 bytes of every lane, it has 12288"):
        plan_cache(config, models, counts, split=[0, 128])
    with pytest.raises(UserError, match="needs 512 sets of every lane, it has 384"):
        plan_cache(config, models, counts, split=[512, 0])


@pytest.mark.parametrize("text", ["256", "256+64+1", "a+b", "3+4", "-4+4"])
def test_split_in_words(text: str) -> None:
    assert parse_split("256+0", 2) == [256, 0]
    with pytest.raises(UserError, match="cache split"):
        parse_split(text, 2)
