"""Soft reset sequence."""

from __future__ import annotations

from typing import Any

from hdl.control.reset import SoftReset

from ..support import simulate


def test_sequence() -> None:
    dut = SoftReset()

    async def bench(ctx: Any) -> None:
        await ctx.tick().repeat(3)
        assert not ctx.get(dut.quiesce) and not ctx.get(dut.core_reset)
        ctx.set(dut.request, 1)
        await ctx.tick()
        ctx.set(dut.request, 0)
        for _ in range(20):
            assert ctx.get(dut.quiesce) and ctx.get(dut.busy) and not ctx.get(dut.core_reset)
            await ctx.tick()
        ctx.set(dut.bus_idle, 1)
        width = 0
        while ctx.get(dut.busy):
            assert ctx.get(dut.quiesce)
            width += ctx.get(dut.core_reset)
            await ctx.tick()
        assert width == 4
        assert not ctx.get(dut.core_reset) and not ctx.get(dut.quiesce)

    simulate(dut, bench, cycles=200)
