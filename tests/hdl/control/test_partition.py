"""The change of partition, square by square, against a plain model of what may change when."""

from __future__ import annotations

import itertools
import random
from typing import Any

import pytest

from driver.partition import legal_partitions
from hdl.config import PRESETS, Config
from hdl.control.partition import PartitionControl, blocks_of

from ..support import simulate

TINY, SMALL = PRESETS["tiny"], PRESETS["small"]


def legal_levels(config: Config) -> set[tuple[int, ...]]:
    return {p.levels for p in legal_partitions(config)}


async def ask(ctx: Any, dut: PartitionControl, levels: Any, stages: Any) -> None:
    ctx.set(dut.wanted_levels, list(levels))
    ctx.set(dut.wanted_stages, list(stages))
    ctx.set(dut.apply, 1)
    await ctx.tick()
    ctx.set(dut.apply, 0)


def in_force(ctx: Any, dut: PartitionControl) -> tuple[tuple[int, ...], tuple[int, ...]]:
    return tuple(ctx.get(dut.levels)), tuple(ctx.get(dut.stages))


def wanted(config: Config, seed: int) -> list[tuple[int, ...]]:
    """Every pattern of levels of a small grid; for a larger one legal ones and near misses."""
    if config.sub_arrays <= 4:
        return list(itertools.product(range(4), repeat=config.sub_arrays))
    rng = random.Random(seed)
    patterns = sorted(legal_levels(config))
    for levels in list(patterns):
        for _ in range(6):
            wrong = list(levels)
            wrong[rng.randrange(len(wrong))] = rng.randrange(4)
            patterns.append(tuple(wrong))
    rng.shuffle(patterns)
    return patterns


@pytest.mark.parametrize("config", [TINY, SMALL], ids=lambda c: c.name)
def test_legal_ones_are_taken_and_others_dropped(config: Config) -> None:
    dut = PartitionControl(config=config)
    legal = legal_levels(config)
    rng = random.Random(3)
    taken = 0

    async def bench(ctx: Any) -> None:
        nonlocal taken
        ctx.set(dut.idle, (1 << config.sub_arrays) - 1)
        await ctx.tick().repeat(2)
        before = in_force(ctx, dut)
        for levels in wanted(config, 1):
            stages = tuple(rng.randrange(16) for _ in levels)
            await ask(ctx, dut, levels, stages)
            assert ctx.get(dut.pending) and not ctx.get(dut.illegal)
            await ctx.tick().repeat(PartitionControl.CHECK_CYCLES - 1)
            assert not ctx.get(dut.pending)
            assert ctx.get(dut.illegal) == (levels not in legal), levels
            assert in_force(ctx, dut) == ((levels, stages) if levels in legal else before)
            before = in_force(ctx, dut)
            taken += levels in legal

    simulate(dut, bench)
    assert taken >= len(legal)


def square(config: Config, u: int, level: int) -> list[int]:
    return next(block for block in blocks_of(config, level) if u in block)


@pytest.mark.parametrize("config", [TINY, SMALL], ids=lambda c: c.name)
def test_a_square_changes_when_nothing_in_it_is_used(config: Config) -> None:
    """Random changes under random use: what changes, when, and that the rest is never touched."""
    dut = PartitionControl(config=config)
    units = config.sub_arrays
    rng = random.Random(8)
    patterns = sorted(legal_levels(config))
    waited = 0

    async def bench(ctx: Any) -> None:
        nonlocal waited
        old = in_force(ctx, dut)
        for _ in range(150):
            levels = rng.choice(patterns)
            # Masks of half of the engines stay: those squares must not wait.
            stages = tuple(m if rng.random() < 0.7 else rng.randrange(16) for m in old[1])
            busy = rng.choice([0.0, 0.05, 0.3])
            used = {u for u in range(units) if rng.random() < busy}
            ctx.set(dut.idle, sum(1 << u for u in range(units) if u not in used))
            needed = {u for u in range(units) if rng.random() < busy / 2}
            ctx.set(dut.needed, sum(1 << u for u in needed))
            used |= needed
            await ask(ctx, dut, levels, stages)
            await ctx.tick().repeat(PartitionControl.CHECK_CYCLES - 1)
            want = (levels, stages)
            while True:
                now = in_force(ctx, dut)
                stuck = False
                for u in range(units):
                    mine = square(config, u, max(old[0][u], levels[u]))
                    changes = any((old[0][v], old[1][v]) != (levels[v], stages[v]) for v in mine)
                    blocked = changes and any(v in used for v in mine)
                    stuck |= blocked
                    from_ = old if blocked else want
                    assert (now[0][u], now[1][u]) == (from_[0][u], from_[1][u]), (u, old, want)
                assert ctx.get(dut.pending) == stuck
                assert now[0] in legal_levels(config)
                if not stuck:
                    break
                waited += 1
                # One sub-array after the other comes to rest; seen a cycle later, done one later.
                used.discard(rng.choice(sorted(used)))
                ctx.set(dut.idle, sum(1 << u for u in range(units) if u not in used))
                ctx.set(dut.needed, 0)
                await ctx.tick().repeat(2)
            old = want

    simulate(dut, bench)
    assert waited > 20


def test_a_new_wish_replaces_what_is_still_pending() -> None:
    dut = PartitionControl(config=TINY)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.idle, 0b0111)
        await ask(ctx, dut, [1] * 4, [3] * 4)
        await ctx.tick().repeat(10)
        assert ctx.get(dut.pending) and in_force(ctx, dut)[0] == (0,) * 4
        await ask(ctx, dut, [0] * 4, [1, 2, 4, 0])
        await ctx.tick().repeat(3)
        assert in_force(ctx, dut) == ((0,) * 4, (1, 2, 4, 0))
        assert not ctx.get(dut.pending)
        await ask(ctx, dut, [0] * 4, [1, 2, 4, 8])
        await ctx.tick().repeat(10)
        assert ctx.get(dut.pending)
        ctx.set(dut.idle, 0b1111)
        await ctx.tick().repeat(2)
        assert in_force(ctx, dut)[1] == (1, 2, 4, 8) and not ctx.get(dut.pending)

    simulate(dut, bench)


def test_without_fission_only_the_one_engine_counts() -> None:
    config = PRESETS["tiny-baseline"]
    dut = PartitionControl(config=config)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.idle, 0b0001)  # nothing else is an engine
        await ctx.tick()
        await ask(ctx, dut, [1, 1, 1, 1], [1, 0, 0, 0])
        await ctx.tick().repeat(2)
        assert not ctx.get(dut.pending) and not ctx.get(dut.illegal)
        assert in_force(ctx, dut)[1] == (1, 0, 0, 0)

    simulate(dut, bench)
