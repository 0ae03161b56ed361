"""Stream register that can be emptied: stream rules, full rate, clear and close."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.bus.drain_register import DrainRegister

from ..support import PATTERNS, get_all, put_all, simulate


@pytest.mark.parametrize("source", PATTERNS.values())
@pytest.mark.parametrize("sink", PATTERNS.values())
def test_order(source: float, sink: float) -> None:
    dut = DrainRegister(shape=16)
    values = list(range(200))
    cycles = 0

    async def put(ctx: Any) -> None:
        await put_all(ctx, dut.i, values, stall=source, seed=1)

    async def get(ctx: Any) -> None:
        assert await get_all(ctx, dut.o, len(values), stall=sink, seed=2) == values

    async def count(ctx: Any) -> None:
        nonlocal cycles
        async for _ in ctx.tick():
            cycles += 1

    simulate(dut, put, get, background=[count])
    if not source and not sink:
        assert cycles <= len(values) + 2


def test_clear_and_close() -> None:
    """What is taken in the cycle of ``clear`` is lost, what comes later is not."""
    dut = DrainRegister(shape=16)
    rng = random.Random(5)

    async def bench(ctx: Any) -> None:
        held: list[int] = []
        closing = was_closed = False
        for number in range(3000):
            if rng.random() < 0.05:
                closing = not closing
            clear, valid, ready = rng.random() < 0.1, rng.random() < 0.7, rng.random() < 0.5
            ctx.set(dut.clear, clear)
            ctx.set(dut.closed, closing)
            ctx.set(dut.i.valid, valid)
            ctx.set(dut.i.payload, number)
            ctx.set(dut.o.ready, ready)
            assert ctx.get(dut.o.valid) == bool(held)
            if held:
                assert ctx.get(dut.o.payload) == held[0]
            open_ = ctx.get(dut.i.ready)
            assert open_ == (len(held) < 2 and not was_closed)
            if held and ready:
                held.pop(0)
            if valid and open_:
                held.append(number)
            if clear:
                held.clear()
            was_closed = closing
            await ctx.tick()

    simulate(dut, bench)
