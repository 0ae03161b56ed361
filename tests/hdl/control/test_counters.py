# amaranth: UnusedElaboratable=no
"""Counters against sums in Python."""

from __future__ import annotations

import random
from collections import Counter
from typing import Any

import pytest

from hdl.config import PRESETS
from hdl.control.counters import EngineCounters, EventCounters
from hdl.engine.cause import Cause

from ..support import simulate


def test_events() -> None:
    dut: Any = EventCounters(events={"beats": 4, "hits": 1})

    async def bench(ctx: Any) -> None:
        rng = random.Random(1)
        beats = hits = 0
        for _ in range(200):
            step, hit = rng.randint(0, 4), rng.randint(0, 1)
            beats, hits = beats + step, hits + hit
            ctx.set(dut.beats, step)
            ctx.set(dut.hits, hit)
            await ctx.tick()
        ctx.set(dut.beats, 0)
        ctx.set(dut.hits, 0)
        await ctx.tick().repeat(2)
        assert (ctx.get(dut.beats_count), ctx.get(dut.hits_count)) == (beats, hits)

    simulate(dut, bench)


def test_engines() -> None:
    config = PRESETS["tiny"]
    dut = EngineCounters(config=config)

    async def bench(ctx: Any) -> None:
        rng = random.Random(2)
        model: list[Counter[Cause]] = [Counter() for _ in range(config.sub_arrays)]
        for _ in range(100):
            for u in range(config.sub_arrays):
                cause = rng.choice(list(Cause))
                model[u][cause] += 1
                ctx.set(dut.causes[u], cause)
            await ctx.tick()
        for u, counts in enumerate(model):
            # The last causes stand still from here on and keep counting.
            counts[ctx.get(dut.causes[u])] += 3 * u + 1
            counts[Cause.IDLE] += 1  # the register in front, before the first cause
            ctx.set(dut.select, u)
            await ctx.tick().repeat(3)
            assert [ctx.get(dut.cycles[c.value]) for c in Cause] == [counts[c] for c in Cause]
        ctx.set(dut.select, 200)
        await ctx.tick().repeat(2)
        assert all(ctx.get(dut.cycles[c.value]) == 0 for c in Cause)

    simulate(dut, bench)


def test_bad_increment() -> None:
    with pytest.raises(ValueError, match="increment of 'x' must be at least 1, not 0"):
        EventCounters(events={"x": 0})
