# amaranth: UnusedElaboratable=no
"""Frames: hardware and host read each other; nothing garbled is taken for good."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from driver.board.frames import FrameReader, frame
from hdl.board.frame_store import FrameStore
from hdl.board.framing import Deframer, Framer

from ..support import get_all, put_all, simulate

SIZE = 64
AWKWARD = (0x7E, 0x7D, 0x5E, 0x5D, 0x00, 0xFF)


def contents(rng: random.Random, size: int) -> bytes:
    """Many of the bytes that need an escape or look like one."""
    return bytes(rng.choice([*AWKWARD, rng.randrange(256)]) for _ in range(size))


class _Receiver(Elaboratable):
    def __init__(self) -> None:
        self.deframer, self.store = Deframer(), FrameStore(size=SIZE)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.deframer, m.submodules.store = self.deframer, self.store
        wiring.connect(m, self.deframer.o, self.store.i)
        return m


async def _frames(ctx: Any, store: FrameStore, count: int, stall: float) -> list[bytes]:
    found: list[bytes] = []
    part = bytearray()
    while len(found) < count:
        (payload,) = await get_all(ctx, store.o, 1, stall=stall, seed=len(part))
        part.append(payload.data)
        if payload.last:
            found.append(bytes(part))
            part.clear()
    return found


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_hardware_frames_for_the_host(stall: float) -> None:
    dut = Framer()
    rng = random.Random(1)
    sent = [contents(rng, size) for size in (1, 2, 7, 40, 1)]
    beats = [{"data": b, "last": n + 1 == len(c)} for c in sent for n, b in enumerate(c)]
    line = sum(len(frame(c)) for c in sent)
    got: list[int] = []

    async def send(ctx: Any) -> None:
        await put_all(ctx, dut.i, beats, stall=stall, seed=1)

    async def take(ctx: Any) -> None:
        got.extend(await get_all(ctx, dut.o, line, stall=stall, seed=2))

    simulate(dut, send, take)
    assert bytes(got) == b"".join(frame(c) for c in sent)
    assert FrameReader().feed(bytes(got)) == sent


@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_host_frames_for_the_hardware(stall: float) -> None:
    dut = _Receiver()
    rng = random.Random(2)
    sent = [contents(rng, size) for size in (1, 2, 9, SIZE, 3)]
    got: list[bytes] = []
    taken = 0

    async def send(ctx: Any) -> None:
        await put_all(ctx, dut.deframer.i, b"\x7e\x7e", stall=stall, seed=1)
        for number, part in enumerate(sent):
            await put_all(ctx, dut.deframer.i, frame(part), stall=stall, seed=1)
            while taken <= number:  # as the host: the next one after the answer
                await ctx.tick()

    async def take(ctx: Any) -> None:
        nonlocal taken
        for _ in sent:
            got.extend(await _frames(ctx, dut.store, 1, stall))
            taken += 1

    simulate(dut, send, take)
    assert got == sent


def _garbled(rng: random.Random, line: bytes) -> bytes:
    """One or two faults: a bit, a lost byte, a doubled one, a cut."""
    out = bytearray(line)
    for _ in range(rng.randrange(1, 3)):
        at = rng.randrange(1, len(out))
        match rng.randrange(4):
            case 0:
                out[at] ^= 1 << rng.randrange(8)
            case 1:
                del out[at]
            case 2:
                out.insert(at, out[at])
            case 3:
                del out[at:]
        if len(out) < 2:
            break
    return bytes(out)


def test_garbled_frames_vanish() -> None:
    dut = _Receiver()
    rng = random.Random(5)
    good = [contents(rng, rng.randrange(1, SIZE)) for _ in range(12)]
    bad = [_garbled(rng, frame(contents(rng, rng.randrange(1, SIZE)))) for _ in range(40)]
    # The flag ends what a cut frame left open; too long a frame is none either.
    noise = [b"\x7e".join(bad[n::12]) + b"\x7e" for n in range(12)]
    noise[3] += frame(contents(rng, SIZE + 1))
    noise[4] += frame(contents(rng, 3 * SIZE))
    reader = FrameReader()
    expected = [c for n, g in zip(noise, good, strict=True) for c in reader.feed(n + frame(g))]
    expected = [c for c in expected if len(c) <= SIZE]
    assert [c for c in expected if c in good] == good
    got: list[bytes] = []

    async def send(ctx: Any) -> None:
        for n, g in zip(noise, good, strict=True):
            await put_all(ctx, dut.deframer.i, n + frame(g), stall=0, seed=1)
            await ctx.tick().repeat(3 * SIZE)

    async def take(ctx: Any) -> None:
        got.extend(await _frames(ctx, dut.store, len(expected), 0))

    simulate(dut, send, take)
    assert got == expected
    assert len(expected) <= len(good) + 8  # a bit of a flag may leave a frame whole


def test_a_frame_waits_for_nobody() -> None:
    """What comes while a frame is worked off is lost, whole."""
    dut = _Receiver()
    got: list[bytes] = []
    dropped = 0

    async def send(ctx: Any) -> None:
        for part in (b"first", b"second"):
            await put_all(ctx, dut.deframer.i, frame(part), stall=0, seed=1)
        half = frame(b"a third one that begins too early")
        await put_all(ctx, dut.deframer.i, half[:9], stall=0, seed=1)
        await ctx.tick().repeat(60)  # the first one is taken meanwhile
        await put_all(ctx, dut.deframer.i, half[9:], stall=0, seed=1)
        await put_all(ctx, dut.deframer.i, frame(b"fourth"), stall=0, seed=1)

    async def take(ctx: Any) -> None:
        await ctx.tick().repeat(45)
        got.extend(await _frames(ctx, dut.store, 2, 0))

    async def count(ctx: Any) -> None:
        nonlocal dropped
        async for _, _, one in ctx.tick().sample(dut.store.dropped):
            dropped += one

    simulate(dut, send, take, background=[count])
    assert got == [b"first", b"fourth"]
    assert dropped == 2


def test_sizes() -> None:
    with pytest.raises(ValueError, match="size must be at least 1"):
        FrameStore(size=0)
