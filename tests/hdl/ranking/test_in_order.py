"""Scores in the order of positions, from any order of arrival."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from amaranth.hdl import ResetInserter, Signal

from hdl.config import preset
from hdl.ranking.in_order import InOrder
from tests.hdl.support import PATTERNS, get_all, put_all, simulate

CONFIG = replace(preset("tiny"), max_items=64)


def expected(scores: list[int]) -> list[tuple[int, int, int]]:
    return [(p, score, int(p == len(scores) - 1)) for p, score in enumerate(scores)]


def run_queries(
    queries: list[list[int]], *, stall: str = "none", seed: int = 1
) -> list[list[tuple[int, int, int]]]:
    """Send all queries through one unit, scores in shuffled order; return what comes out."""
    dut = InOrder(config=CONFIG)
    share = PATTERNS[stall]
    results: list[list[tuple[int, int, int]]] = []

    async def starts(ctx: Any) -> None:
        values = [{"n": len(scores)} for scores in queries]
        await put_all(ctx, dut.i_start, values, stall=share, seed=seed)

    async def arrivals(ctx: Any) -> None:
        rng = random.Random(seed)
        for index, scores in enumerate(queries):
            values = [{"position": p, "score": s} for p, s in enumerate(scores)]
            rng.shuffle(values)
            await put_all(ctx, dut.i_score, values, stall=share, seed=seed + index)

    async def returned(ctx: Any) -> None:
        for index, scores in enumerate(queries):
            got = await get_all(ctx, dut.o, len(scores), stall=share, seed=seed + 100 + index)
            results.append([(g.position, g.score, g.last) for g in got])

    simulate(dut, starts, arrivals, returned, cycles=60_000)
    return results


@pytest.mark.parametrize("stall", PATTERNS)
@pytest.mark.parametrize("seed", [1, 2])
def test_every_size_comes_out_in_order(stall: str, seed: int) -> None:
    rng = random.Random(seed)
    sizes = [1, 2, 64, 1, 63, rng.randint(3, 62), rng.randint(3, 62)]
    queries = [[rng.randint(-32768, 32767) for _ in range(n)] for n in sizes]
    assert run_queries(queries, stall=stall, seed=seed) == [expected(q) for q in queries]


def test_stated_latency() -> None:
    """FIXED_CYCLES + p after the n-th score."""
    dut = InOrder(config=CONFIG)
    n = 40

    async def bench(ctx: Any) -> None:
        await put_all(ctx, dut.i_start, [{"n": n}], stall=0, seed=0)
        values = [{"position": p, "score": -p} for p in range(n)]
        await put_all(ctx, dut.i_score, values, stall=0, seed=0)
        ctx.set(dut.o.ready, 1)
        taken: list[int] = []
        cycle = 0
        while len(taken) < n:
            cycle += 1
            if (await ctx.tick().sample(dut.o.valid))[-1]:
                taken.append(cycle)
        assert taken == [InOrder.FIXED_CYCLES + p for p in range(n)]

    simulate(dut, bench)


def test_scores_are_refused_without_a_start_and_after_the_last() -> None:
    dut = InOrder(config=CONFIG)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i_score.valid, 1)
        await ctx.tick().repeat(5)
        assert not ctx.get(dut.i_score.ready)
        await put_all(ctx, dut.i_start, [{"n": 1}], stall=0, seed=0)
        await ctx.tick().until(dut.i_score.ready)
        assert not ctx.get(dut.i_score.ready)

    simulate(dut, bench)


def test_reset_in_the_middle_leaves_nothing_behind() -> None:
    inner = InOrder(config=CONFIG)
    reset = Signal()
    dut = ResetInserter(reset)(inner)

    async def bench(ctx: Any) -> None:
        for sent in (5, 20):  # while scores come in, and while they go out
            await put_all(ctx, inner.i_start, [{"n": 20}], stall=0, seed=0)
            stale = [{"position": p, "score": 7} for p in range(sent)]
            await put_all(ctx, inner.i_score, stale, stall=0, seed=0)
            await ctx.tick().repeat(4)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
        fresh = [{"position": p, "score": 3 * p} for p in range(9)]
        await put_all(ctx, inner.i_start, [{"n": 9}], stall=0, seed=0)
        await put_all(ctx, inner.i_score, fresh, stall=0, seed=0)
        got = await get_all(ctx, inner.o, 9, stall=0, seed=0)
        assert [(g.position, g.score, g.last) for g in got] == expected([3 * p for p in range(9)])

    simulate(dut, bench)
