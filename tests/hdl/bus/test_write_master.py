"""Write master against memories with random back-pressure."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.bus.interleave import channel_number
from hdl.bus.write_master import WriteMaster
from hdl.config import PRESETS

from ..support import put_all
from .bench import run
from .memory import WriteMemory

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_writes_land(channels: int, stall: float) -> None:
    config = replace(TINY, axi_channels=channels)
    dut = WriteMaster(config=config)
    rng = random.Random(3)
    image: dict[int, int] = {}
    memories = [
        WriteMemory(dut.axi[c], image, data_bytes=8, seed=c, stall=stall) for c in range(channels)
    ]
    bursts = [(rng.randrange(8) * 4096 + i * 64, rng.randint(1, 8)) for i in range(40)]
    beats = [(rng.getrandbits(64), rng.getrandbits(8)) for _ in range(sum(n for _, n in bursts))]

    async def requests(ctx: Any) -> None:
        values = [{"address": address, "beats": count - 1} for address, count in bursts]
        await put_all(ctx, dut.port.request, values, stall=stall, seed=1)

    async def data(ctx: Any) -> None:
        values = [{"data": value, "strobe": strobe} for value, strobe in beats]
        await put_all(ctx, dut.port.data, values, stall=stall, seed=2)
        await ctx.tick().until(dut.port.idle)

    run(dut, [requests, data], [memory.run for memory in memories])
    want: dict[int, int] = {}
    source = iter(beats)
    for address, count in bursts:
        for i in range(count):
            value, strobe = next(source)
            for b in range(8):
                if strobe >> b & 1:
                    want[address + 8 * i + b] = value >> (8 * b) & 255
    assert image == want
    for c, memory in enumerate(memories):
        assert all(channel_number(config, address) == c for address, _ in memory.bursts)


def test_error_is_a_pulse() -> None:
    dut = WriteMaster(config=TINY)
    memory = WriteMemory(dut.axi[0], {}, data_bytes=8, seed=0, errors={64})
    pulses: list[int] = []

    async def bench(ctx: Any) -> None:
        for address in (0, 64, 128):
            request = {"address": address, "beats": 0}
            await put_all(ctx, dut.port.request, [request], stall=0.0, seed=0)
            await put_all(ctx, dut.port.data, [{"data": 1, "strobe": 255}], stall=0.0, seed=0)
            await ctx.tick().until(dut.port.idle)
        await ctx.tick().repeat(2)

    async def watch(ctx: Any) -> None:
        async for _, _, error in ctx.tick().sample(dut.port.error):
            pulses.append(error)

    run(dut, [bench], [memory.run, watch])
    assert sum(pulses) == 1


def test_quiesce_finishes_the_burst() -> None:
    """A burst that lost its writer is completed with strobes off."""
    dut = WriteMaster(config=TINY)
    image: dict[int, int] = {}
    memory = WriteMemory(dut.axi[0], image, data_bytes=8, seed=0)

    async def bench(ctx: Any) -> None:
        await put_all(ctx, dut.port.request, [{"address": 0, "beats": 7}], stall=0.0, seed=0)
        await put_all(ctx, dut.port.data, [{"data": 5, "strobe": 255}] * 2, stall=0.0, seed=0)
        assert not ctx.get(dut.idle)
        ctx.set(dut.port.request.valid, 1)
        ctx.set(dut.quiesce, 1)
        await ctx.tick().until(dut.idle)
        ctx.set(dut.port.request.valid, 0)

    run(dut, [bench], [memory.run])
    assert memory.bursts == [(0, 8)]
    assert image == {i: (5 if i % 8 == 0 else 0) for i in range(16)}
