# amaranth: UnusedElaboratable=no
"""Interrupt moderation against a list of what is owed."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.control.moderation import InterruptModeration

from ..support import simulate


@pytest.mark.parametrize(
    ("number", "timeout"), [(0, 0), (1, 50), (2, 0), (4, 30), (5, 1), (200, 100), (255, 0), (3, 7)]
)
def test_interrupts(number: int, timeout: int) -> None:
    dut = InterruptModeration()
    rng = random.Random(number * 1000 + timeout)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.number, number)
        ctx.set(dut.timeout, timeout)
        await ctx.tick()
        owed: list[int] = []  # cycles of the completions that have had no interrupt
        interrupts = 0
        for cycle in range(1500):
            if cycle % 100 == 0:
                odds = rng.choice((0.01, 0.1, 0.5, 1.0))
            completed = rng.random() < odds
            late = bool(timeout and owed and cycle - owed[0] >= timeout)
            if completed:
                owed.append(cycle)
            want = late or (completed and len(owed) >= number)
            ctx.set(dut.completed, completed)
            assert ctx.get(dut.interrupt) == want, cycle
            if want:
                owed.clear()
                interrupts += 1
            await ctx.tick()
        assert interrupts > 1

    simulate(dut, bench)


def test_settings_change_on_the_way() -> None:
    """Fewer are asked for than have come: the next completion interrupts."""
    dut = InterruptModeration()

    async def bench(ctx: Any) -> None:
        ctx.set(dut.number, 10)
        await ctx.tick()
        ctx.set(dut.completed, 1)
        for _ in range(6):
            assert not ctx.get(dut.interrupt)
            await ctx.tick()
        ctx.set(dut.completed, 0)
        ctx.set(dut.number, 3)
        assert not ctx.get(dut.interrupt)
        await ctx.tick()
        ctx.set(dut.completed, 1)
        assert ctx.get(dut.interrupt)
        await ctx.tick()
        ctx.set(dut.completed, 0)
        ctx.set(dut.timeout, 5)
        await ctx.tick().repeat(20)
        assert not ctx.get(dut.interrupt)

    simulate(dut, bench)
