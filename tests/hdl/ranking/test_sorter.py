# amaranth: UnusedElaboratable=no
"""The sorter against Python's sort."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.ranking.sorter import Sorter
from tests.hdl.support import PATTERNS, get_all, put_all, simulate

CONFIG = preset("tiny")
Element = tuple[int, int]


def passes_of(count: int) -> int:
    return max(1, (count - 1).bit_length())


def cycles_of(count: int) -> int:
    """From ``last`` in to ``last`` out, as the class states it."""
    merges = [2 * count + 4 * -(-count // (2 << level)) for level in range(passes_of(count))]
    return sum(merges)


def check(
    lists: list[list[Element]],
    *,
    stall: str = "none",
    depth: int | None = None,
    config: Config = CONFIG,
    cells: int = 0,
) -> None:
    dut = Sorter(config=config, depth=depth, cells=cells)
    share = PATTERNS[stall]
    results: list[list[tuple[int, int, int]]] = []

    async def send(ctx: Any) -> None:
        for index, values in enumerate(lists):
            while len(results) < index:  # a list begins when the one before has left
                await ctx.tick()
            ctx.set(dut.short, len(values) <= cells)
            payloads = [
                {"item": item, "score": score, "last": position == len(values) - 1}
                for position, (item, score) in enumerate(values)
            ]
            await put_all(ctx, dut.i, payloads, stall=share, seed=index)

    async def receive(ctx: Any) -> None:
        for index, values in enumerate(lists):
            got = await get_all(ctx, dut.o, len(values), stall=share, seed=50 + index)
            results.append([(g.item, g.score, g.last) for g in got])

    simulate(dut, send, receive, cycles=200_000)
    for values, result in zip(lists, results, strict=True):
        ordered = sorted(values, key=lambda value: (-value[1], value[0]))
        assert result == [(*value, int(i == len(values) - 1)) for i, value in enumerate(ordered)]


def make(rng: random.Random, count: int, scores: list[int]) -> list[Element]:
    items = sorted(rng.sample(range(CONFIG.max_items), count))
    return [(item, rng.choice(scores)) for item in items]


@pytest.mark.parametrize("cells", [0, 8])
@pytest.mark.parametrize("stall", PATTERNS)
def test_every_small_count(stall: str, cells: int) -> None:
    """With cells: short lists, full ones, and those that are too long for them."""
    rng = random.Random(1)
    lists = [make(rng, count, [-32768, -5, 0, 5, 32767]) for count in range(1, 18)]
    if cells:
        rng.shuffle(lists)
    check(lists, stall=stall, cells=cells)


@pytest.mark.parametrize("cells", [0, 64])
def test_orders_of_scores(cells: int) -> None:
    rng = random.Random(2)
    spread = [rng.randint(-32768, 32767) for _ in range(64)]
    items = range(64)
    lists = [
        list(zip(items, scores, strict=True))
        for scores in (spread, sorted(spread), sorted(spread, reverse=True), [9] * 64)
    ]
    lists.append(list(zip(reversed(items), [9] * 64, strict=True)))  # items in any order too
    check(lists, cells=cells)


def test_full_depth() -> None:
    rng = random.Random(3)
    check([make(rng, 128, list(range(-40, 40))) for _ in range(2)], depth=128)
    small = replace(CONFIG, max_items=256)
    check([[(item, rng.randint(-90, 90)) for item in range(256)]], config=small)


@pytest.mark.parametrize("cells", [0, 64])
@pytest.mark.parametrize("count", [1, 2, 3, 64, 100])
def test_stated_latency(count: int, cells: int) -> None:
    dut = Sorter(config=CONFIG, depth=128, cells=cells)
    short = count <= cells

    async def bench(ctx: Any) -> None:
        ctx.set(dut.short, short)
        values = [{"item": i, "score": i % 7, "last": i == count - 1} for i in range(count)]
        await put_all(ctx, dut.i, values, stall=0, seed=0)
        ctx.set(dut.o.ready, 1)
        cycles = 0
        last = False
        while not last:
            cycles += 1
            valid, payload = (await ctx.tick().sample(dut.o.valid, dut.o.payload))[-2:]
            last = bool(valid and payload.last)
        assert cycles == (Sorter.SHORT_LATENCY + count - 1 if short else cycles_of(count))

    simulate(dut, bench)


@pytest.mark.parametrize("depth", [1, 48, 2048])
def test_bad_depth_is_quoted(depth: int) -> None:
    with pytest.raises(ValueError, match=f"not {depth}"):
        Sorter(config=CONFIG, depth=depth)
