"""The watchdog's sequence, and what it waits for."""

from __future__ import annotations

from typing import Any

import pytest

from hdl.config import preset
from hdl.control.watchdog import Watchdog

from ..support import simulate

CONFIG = preset("tiny")
LONG = 32 << CONFIG.item_bits
"""Cycles without progress until a query is given up."""


async def cycles_until(ctx: Any, signal: Any, most: int) -> int:
    """Cycles until a signal is up; fails after ``most``."""
    for cycle in range(most):
        if ctx.get(signal):
            return cycle
        await ctx.tick()
    pytest.fail(f"{signal!r} did not come in {most} cycles")


def test_fault_drains_the_bus_then_resets() -> None:
    dut = Watchdog(config=CONFIG)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.fault, 1)
        await ctx.tick().repeat(10)
        assert not ctx.get(dut.abandon), "no query is running"
        ctx.set(dut.running, 1)
        assert await cycles_until(ctx, dut.abandon, 3) == 1
        ctx.set(dut.fault, 0)
        for _ in range(100):
            assert ctx.get(dut.abandon) and not ctx.get(dut.reset)
            await ctx.tick()
        ctx.set(dut.bus_idle, 1)
        await cycles_until(ctx, dut.reset, 3)
        while ctx.get(dut.reset):
            assert ctx.get(dut.abandon) and not ctx.get(dut.closing)
            await ctx.tick()
        for _ in range(2):
            assert ctx.get(dut.abandon) and not ctx.get(dut.closing), "the reset's own registers"
            await ctx.tick()
        for _ in range(30):
            assert ctx.get(dut.abandon) and ctx.get(dut.closing)
            await ctx.tick()
        ctx.set(dut.running, 0)
        await ctx.tick()
        for _ in range(20):
            assert not ctx.get(dut.closing) and not ctx.get(dut.abandon)
            await ctx.tick()

    simulate(dut, bench)


def test_progress_keeps_a_query_going() -> None:
    dut = Watchdog(config=CONFIG)

    async def bench(ctx: Any) -> None:
        ctx.set(dut.running, 1)
        await ctx.tick().repeat(LONG - 2)
        ctx.set(dut.progress, 1)
        await ctx.tick()
        ctx.set(dut.progress, 0)
        await ctx.tick().repeat(LONG - 2)
        assert not ctx.get(dut.abandon)
        await cycles_until(ctx, dut.abandon, 4)

    simulate(dut, bench)
