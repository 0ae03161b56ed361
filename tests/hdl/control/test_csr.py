# amaranth: UnusedElaboratable=no
"""Register table and the AXI4-Lite registers built from it."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.config import PRESETS
from hdl.control.csr import RegisterFile
from hdl.control.register import Field, Register
from hdl.control.registers import DEVICE_ID, register_table

from ..support import simulate

TINY = PRESETS["tiny"]
TABLE = register_table(TINY)
BY_NAME = {register.name: register for register in TABLE}


async def write(
    ctx: Any, bus: Any, address: int, value: int, strobe: int = 15, order: str = "both"
) -> int:
    """AXI4-Lite write; ``order`` says which of AW and W comes first. Returns the response."""

    async def send(valid: Any, ready: Any) -> None:
        ctx.set(valid, 1)
        await ctx.tick().until(ready)
        ctx.set(valid, 0)

    ctx.set(bus.awaddr, address)
    ctx.set(bus.wdata, value)
    ctx.set(bus.wstrb, strobe)
    if order == "both":
        ctx.set(bus.awvalid, 1)
        ctx.set(bus.wvalid, 1)
        await ctx.tick().until(bus.awready & bus.wready)
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
    else:
        channels = [(bus.awvalid, bus.awready), (bus.wvalid, bus.wready)]
        first, second = channels if order == "address" else reversed(channels)
        await send(*first)
        await ctx.tick().repeat(3)
        await send(*second)
    ctx.set(bus.bready, 1)
    (response,) = await ctx.tick().sample(bus.bresp).until(bus.bvalid)
    ctx.set(bus.bready, 0)
    return int(response)


async def read(ctx: Any, bus: Any, address: int, wait: int = 0) -> tuple[int, int]:
    ctx.set(bus.araddr, address)
    ctx.set(bus.arvalid, 1)
    await ctx.tick().until(bus.arready)
    ctx.set(bus.arvalid, 0)
    ctx.set(bus.araddr, 0)
    for _ in range(wait):
        await ctx.tick()
    ctx.set(bus.rready, 1)
    value, response = await ctx.tick().sample(bus.rdata, bus.rresp).until(bus.rvalid)
    ctx.set(bus.rready, 0)
    return int(value), int(response)


@pytest.mark.parametrize("name", PRESETS)
def test_table_of_every_preset(name: str) -> None:
    config = PRESETS[name]
    by_name = {register.name: register for register in register_table(config)}
    assert by_name["PARTITION"].count * 16 >= config.sub_arrays
    assert by_name["ENGINE_STAGES"].count * 8 >= config.sub_arrays
    assert by_name["CONFIG_HASH"].reset == config.hash
    assert len(by_name) == len(register_table(config))


def test_bad_registers() -> None:
    field = Field(name="x", lsb=30, width=4, description="")
    with pytest.raises(ValueError, match="field 'x' overlaps or does not fit"):
        Register(name="R", offset=0, access="rw", fields=(field,), description="")
    with pytest.raises(ValueError, match="not 'wo'"):
        Register(name="R", offset=0, access="wo", fields=(), description="")


def test_constants_and_unknown_addresses() -> None:
    dut: Any = RegisterFile(table=TABLE)

    async def bench(ctx: Any) -> None:
        bus = dut.bus
        assert await read(ctx, bus, 0) == (DEVICE_ID, 0)
        assert await read(ctx, bus, BY_NAME["CONFIG_HASH"].offset, wait=4) == (TINY.hash, 0)
        for address in (0xFFC, 0x3C):
            assert await read(ctx, bus, address) == (0, 2)
            assert await write(ctx, bus, address, 1) == 2
        # Constants and read-only registers refuse writes and keep their value.
        assert await write(ctx, bus, 0, 0) == 2
        assert await write(ctx, bus, BY_NAME["STATUS"].offset, 1) == 2
        assert await read(ctx, bus, 0) == (DEVICE_ID, 0)

    simulate(dut, bench)


@pytest.mark.parametrize("order", ["both", "address", "data"])
def test_every_writable_register(order: str) -> None:
    dut: Any = RegisterFile(table=TABLE)

    async def bench(ctx: Any) -> None:
        rng = random.Random(order)
        model = {}
        for register in TABLE:
            if register.access != "rw":
                continue
            for index in range(register.count):
                for word in range(register.words):
                    address = register.offset + 4 * (register.words * index + word)
                    used = sum(
                        ((1 << f.width) - 1) << f.lsb for f in register.fields if not f.pulse
                    )
                    used = used >> (32 * word) & 0xFFFFFFFF
                    old = 0
                    for strobe in (15, 5, 8):
                        value = rng.getrandbits(32)
                        mask = sum(255 << (8 * i) for i in range(4) if strobe >> i & 1)
                        assert await write(ctx, dut.bus, address, value, strobe, order) == 0
                        old = (old & ~mask | value & mask) & used
                    model[address] = old
        for address, value in model.items():
            assert await read(ctx, dut.bus, address) == (value, 0)
        base = ctx.get(dut.submission_base.address)
        assert base == model[0x50] | model[0x54] << 32
        # Soft reset clears the ring indices and nothing else.
        ctx.set(dut.clear, 1)
        await ctx.tick()
        ctx.set(dut.clear, 0)
        assert ctx.get(dut.submission_tail.index) == 0
        assert ctx.get(dut.completion_head.index) == 0
        assert ctx.get(dut.submission_base.address) == base

    simulate(dut, bench)


def test_pulse_and_write_one_to_clear() -> None:
    dut: Any = RegisterFile(table=TABLE)
    pulses = []

    async def bench(ctx: Any) -> None:
        bus = dut.bus
        assert await write(ctx, bus, BY_NAME["CONTROL"].offset, 3) == 0
        assert await read(ctx, bus, BY_NAME["CONTROL"].offset) == (2, 0)
        status = BY_NAME["IRQ_STATUS"].offset
        ctx.set(dut.irq_status_set, {"completion": 1, "error": 1})
        await ctx.tick()
        ctx.set(dut.irq_status_set, {"completion": 0, "error": 0})
        assert await read(ctx, bus, status) == (3, 0)
        assert await write(ctx, bus, status, 1) == 0
        assert await read(ctx, bus, status) == (2, 0)
        # An event in the very cycle of the clear is not lost.
        ctx.set(dut.irq_status_set, {"completion": 1, "error": 0})
        await write(ctx, bus, status, 3)
        assert ctx.get(dut.irq_status.completion) == 1
        assert ctx.get(dut.irq_status.error) == 0

    async def watch(ctx: Any) -> None:
        for _ in range(30):
            _, _, pulse = await ctx.tick().sample(dut.control.soft_reset)
            pulses.append(pulse)

    simulate(dut, bench, watch)
    assert sum(pulses) == 1


def test_wide_counter_reads_as_one_number() -> None:
    dut: Any = RegisterFile(table=TABLE)

    async def bench(ctx: Any) -> None:
        cycles = BY_NAME["CYCLES"].offset
        ctx.set(dut.cycles.value, 0x1_FFFF_FFFF)
        assert await read(ctx, dut.bus, cycles) == (0xFFFFFFFF, 0)
        ctx.set(dut.cycles.value, 0x2_0000_0000)
        assert await read(ctx, dut.bus, cycles + 4) == (1, 0)
        assert await read(ctx, dut.bus, cycles) == (0, 0)
        assert await read(ctx, dut.bus, cycles + 4) == (2, 0)

    simulate(dut, bench)


def test_back_to_back_with_slow_response() -> None:
    """AW and W of the next write may come while B of the last one waits."""
    dut: Any = RegisterFile(table=TABLE)

    async def bench(ctx: Any) -> None:
        bus = dut.bus
        tail, head = BY_NAME["SUBMISSION_TAIL"].offset, BY_NAME["COMPLETION_HEAD"].offset
        for address, value in ((tail, 5), (head, 7)):
            ctx.set(bus.awaddr, address)
            ctx.set(bus.wdata, value)
            ctx.set(bus.wstrb, 15)
            ctx.set(bus.awvalid, 1)
            ctx.set(bus.wvalid, 1)
            await ctx.tick().until(bus.awready & bus.wready)
        ctx.set(bus.awvalid, 0)
        ctx.set(bus.wvalid, 0)
        await ctx.tick().repeat(5)
        assert ctx.get(bus.bvalid)
        assert (ctx.get(dut.submission_tail.index), ctx.get(dut.completion_head.index)) == (5, 0)
        ctx.set(bus.bready, 1)
        await ctx.tick().repeat(3)
        assert ctx.get(dut.completion_head.index) == 7

    simulate(dut, bench)
