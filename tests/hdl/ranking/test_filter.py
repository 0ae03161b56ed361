"""The filter against NumPy, exact."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import ResetInserter, Signal

from hdl.config import preset
from hdl.ranking.filter import Filter
from tests.hdl.support import PATTERNS, get_all, put_all, simulate

CONFIG = preset("tiny")
LOW, HIGH = -32768, 32767


def expected(scores: list[int], k: int) -> list[tuple[int, int, int]]:
    """Best k by (score descending, position ascending), in the order of positions."""
    order = np.lexsort((np.arange(len(scores)), -np.array(scores, dtype=np.int64)))
    chosen = sorted(int(position) for position in order[:k])
    return [
        (position, scores[position], int(index == k - 1)) for index, position in enumerate(chosen)
    ]


def run_filter(
    stages: list[tuple[list[int], int]], *, stall: str = "none", seed: int = 1, config: Any = CONFIG
) -> list[list[tuple[int, int, int]]]:
    """Send all stages through one filter, scores in shuffled order; return what comes out."""
    dut = Filter(config=config)
    share = PATTERNS[stall]
    results: list[list[tuple[int, int, int]]] = []

    async def starts(ctx: Any) -> None:
        values = [{"n": len(scores), "k": k} for scores, k in stages]
        await put_all(ctx, dut.i_start, values, stall=share, seed=seed)

    async def arrivals(ctx: Any) -> None:
        rng = random.Random(seed)
        for index, (scores, _) in enumerate(stages):
            values = [{"position": p, "score": s} for p, s in enumerate(scores)]
            rng.shuffle(values)
            await put_all(ctx, dut.i_score, values, stall=share, seed=seed + index)

    async def survivors(ctx: Any) -> None:
        for index, (_, k) in enumerate(stages):
            got = await get_all(ctx, dut.o, k, stall=share, seed=seed + 100 + index)
            results.append([(g.position, g.score, g.last) for g in got])

    simulate(dut, starts, arrivals, survivors, cycles=60_000)
    return results


def check(stages: list[tuple[list[int], int]], **options: Any) -> None:
    assert run_filter(stages, **options) == [expected(scores, k) for scores, k in stages]


def shapes(rng: np.random.Generator, n: int) -> dict[str, list[int]]:
    """Named score vectors of length n."""
    spread = rng.integers(LOW, HIGH + 1, n)
    vectors = {
        "random": spread,
        "constant": np.full(n, -7),
        "sorted": np.sort(spread),
        "reversed": np.sort(spread)[::-1],
        "extreme": rng.choice([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH], n),
        "one high byte": rng.integers(256, 512, n),
        "few values": rng.integers(-2, 3, n),
    }
    return {name: [int(value) for value in vector] for name, vector in vectors.items()}


@pytest.mark.parametrize("stall", PATTERNS)
def test_every_shape_of_scores(stall: str) -> None:
    rng = np.random.default_rng(1)
    stages = []
    for n in (1, 2, 37, 64):
        for scores in shapes(rng, n).values():
            stages += [(scores, k) for k in {1, n // 2 + 1, n} if k <= n]
    check(stages if stall == "none" else stages[::3], stall=stall)


def test_largest_size() -> None:
    rng = np.random.default_rng(2)
    n = CONFIG.max_items
    check([(shapes(rng, n)["constant"], n), (shapes(rng, n)["few values"], 700)])


def test_every_k_of_a_small_set_with_ties() -> None:
    scores = [3, -300, 3, 515, 3, 515, -32768, 32767, 3, 0]
    check([(scores, k) for k in range(1, len(scores) + 1)])


def test_random_sizes() -> None:
    rng = random.Random(3)
    stages = []
    for _ in range(15):
        n = rng.randint(1, 150)
        pool = [rng.randint(LOW, HIGH) for _ in range(rng.randint(1, 20))]
        stages.append(([rng.choice(pool) for _ in range(n)], rng.randint(1, n)))
    check(stages, stall="some", seed=5)


def test_stated_latency() -> None:
    """FIXED_CYCLES + n + p after the n-th score, for the first and the last survivor."""
    dut = Filter(config=replace(CONFIG, max_items=64))
    scores = [5] * 20 + [9] * 20
    n, k, first, last = 40, 20, 20, 39

    async def bench(ctx: Any) -> None:
        await put_all(ctx, dut.i_start, [{"n": n, "k": k}], stall=0, seed=0)
        values = [{"position": p, "score": s} for p, s in enumerate(scores)]
        await put_all(ctx, dut.i_score, values, stall=0, seed=0)
        ctx.set(dut.o.ready, 1)
        taken = {}
        cycle = 0
        while last not in taken:
            cycle += 1
            valid, payload = (await ctx.tick().sample(dut.o.valid, dut.o.payload))[-2:]
            if valid:
                taken[payload.position] = cycle
        assert taken[first] == Filter.FIXED_CYCLES + n + first
        assert taken[last] == Filter.FIXED_CYCLES + n + last

    simulate(dut, bench)


def test_scores_are_refused_without_a_start_and_after_the_last() -> None:
    dut = Filter(config=CONFIG)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.i_score.valid, 1)
        await ctx.tick().repeat(300)
        assert not ctx.get(dut.i_score.ready)
        await put_all(ctx, dut.i_start, [{"n": 1, "k": 1}], stall=0, seed=0)
        await ctx.tick().until(dut.i_score.ready)
        assert not ctx.get(dut.i_score.ready)

    simulate(dut, bench)


def test_reset_in_the_middle_leaves_nothing_behind() -> None:
    inner = Filter(config=CONFIG)
    reset = Signal()
    dut = ResetInserter(reset)(inner)
    scores = [7] * 10 + [6] * 10

    async def bench(ctx: Any) -> None:
        await put_all(ctx, inner.i_start, [{"n": 20, "k": 20}], stall=0, seed=0)
        stale = [{"position": p, "score": 7} for p in range(19)]
        await put_all(ctx, inner.i_score, stale, stall=0, seed=0)
        ctx.set(reset, 1)
        await ctx.tick()
        ctx.set(reset, 0)
        await put_all(ctx, inner.i_start, [{"n": 20, "k": 12}], stall=0, seed=0)
        fresh = [{"position": p, "score": s} for p, s in enumerate(scores)]
        await put_all(ctx, inner.i_score, fresh, stall=0, seed=0)
        got = await get_all(ctx, inner.o, 12, stall=0, seed=0)
        assert [(g.position, g.score, g.last) for g in got] == expected(scores, 12)

    simulate(dut, bench)
