# amaranth: UnusedElaboratable=no
"""Serial line: bytes over it at every ratio of clocks, a glitch, a missing stop bit, overrun."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module

from hdl.board.uart import UartReceiver, UartTransmitter

from ..support import get_all, put_all, simulate


class _Loop(Elaboratable):
    """Transmitter to receiver, each with its own idea of the rate."""

    def __init__(self, clock_hz: int, baud: int, other: int) -> None:
        self.transmitter = UartTransmitter(clock_hz=clock_hz, baud=baud)
        self.receiver = UartReceiver(clock_hz=clock_hz, baud=other)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.transmitter = self.transmitter
        m.submodules.receiver = self.receiver
        m.d.comb += self.receiver.rx.eq(self.transmitter.tx)
        return m


@pytest.mark.parametrize("stall", [0.0, 0.9])
@pytest.mark.parametrize(
    ("clock_hz", "baud", "other"),
    [(4, 1, 1), (50_000_000, 3_000_000, 3_000_000), (100, 7, 7), (50_000, 3000, 3090)],
)
def test_bytes_cross(clock_hz: int, baud: int, other: int, stall: float) -> None:
    dut = _Loop(clock_hz, baud, other)
    rng = random.Random(3)
    sent = [0, 255, 0x55, *(rng.randrange(256) for _ in range(20))]
    got: list[int] = []

    async def send(ctx: Any) -> None:
        await put_all(ctx, dut.transmitter.i, sent, stall=stall, seed=1)

    async def take(ctx: Any) -> None:
        got.extend(await get_all(ctx, dut.receiver.o, len(sent), stall=0.5, seed=2))

    simulate(dut, send, take)
    assert got == sent


async def _bit(ctx: Any, dut: UartReceiver, level: int, clocks: int = 8) -> None:
    ctx.set(dut.rx, level)
    await ctx.tick().repeat(clocks)


async def _byte(ctx: Any, dut: UartReceiver, value: int, stop: int = 1) -> None:
    await _bit(ctx, dut, 0)
    for n in range(8):
        await _bit(ctx, dut, value >> n & 1)
    await _bit(ctx, dut, stop)


@pytest.mark.parametrize("clocks", [4, 5, 8])
def test_no_gap_and_start_bits_seen_late(clocks: int) -> None:
    """An edge of the line beside a clock edge is seen in this cycle or in the next one."""
    dut = UartReceiver(clock_hz=clocks, baud=1)
    rng = random.Random(4)
    sent = [0, 255, 0x55, *(rng.randrange(256) for _ in range(40))]
    got: list[int] = []

    async def line(ctx: Any) -> None:
        await _bit(ctx, dut, 1, 20)
        late = 1
        for value in sent:
            await _bit(ctx, dut, 0, clocks - late)
            for n in range(8):
                await _bit(ctx, dut, value >> n & 1, clocks)
            late = rng.randrange(2)
            await _bit(ctx, dut, 1, clocks + late)
        await _bit(ctx, dut, 1, 20)

    async def take(ctx: Any) -> None:
        got.extend(await get_all(ctx, dut.o, len(sent), stall=0, seed=2))

    simulate(dut, line, take)
    assert got == sent


def test_what_is_no_byte_is_told() -> None:
    dut = UartReceiver(clock_hz=8, baud=1)
    errors = 0
    got: list[int] = []

    async def line(ctx: Any) -> None:
        await _bit(ctx, dut, 1, 20)
        await _bit(ctx, dut, 0, 2)  # a glitch
        await _bit(ctx, dut, 1, 40)
        await _byte(ctx, dut, 0x42)
        await _byte(ctx, dut, 0x43, stop=0)
        await _bit(ctx, dut, 0, 300)  # a break is one error, not many
        await _bit(ctx, dut, 1, 100)
        await _byte(ctx, dut, 0x44)
        await _byte(ctx, dut, 0x45)  # 0x44 has not been taken: lost
        await _bit(ctx, dut, 1, 20)

    async def take(ctx: Any) -> None:
        got.extend(await get_all(ctx, dut.o, 1, stall=0, seed=1))
        await ctx.tick().repeat(900)
        got.extend(await get_all(ctx, dut.o, 1, stall=0, seed=1))

    async def count(ctx: Any) -> None:
        nonlocal errors
        async for _, _, error in ctx.tick().sample(dut.error):
            errors += error

    simulate(dut, line, take, background=[count])
    assert got == [0x42, 0x44]
    assert errors == 2


@pytest.mark.parametrize(("clock_hz", "baud"), [(100, 0), (100, 26), (10_000, 1)])
def test_impossible_rate(clock_hz: int, baud: int) -> None:
    with pytest.raises(ValueError, match="baud must be"):
        UartTransmitter(clock_hz=clock_hz, baud=baud)
