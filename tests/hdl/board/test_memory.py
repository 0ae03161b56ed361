# amaranth: UnusedElaboratable=no
"""Memory of a board: AXI4 bursts and a second user, against a Python copy, under stalls."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from hdl.board.axi_memory import AxiMemory
from hdl.board.block_memory import BlockMemory
from hdl.board.word_merge import WordMerge
from hdl.config import preset

from ..support import simulate

CONFIG = preset("ecp5")
LOG2_BYTES = 12
OKAY, SLVERR, DECERR = 0, 2, 3


class _Board(Elaboratable):
    """Device's port and a second user in front of one memory."""

    def __init__(self) -> None:
        self.axi_memory = AxiMemory(config=CONFIG, log2_bytes=LOG2_BYTES, reads=8)
        self.merge = WordMerge(address_bits=LOG2_BYTES - 3, reads=8)
        self.block = BlockMemory(log2_bytes=LOG2_BYTES)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.axi_memory = self.axi_memory
        m.submodules.merge = self.merge
        m.submodules.block = self.block
        wiring.connect(m, self.axi_memory.memory, self.merge.users[0])
        wiring.connect(m, self.merge.memory, self.block.port)
        return m


class _Master:
    """One AXI4 channel pair; every burst's words are checked when they come."""

    def __init__(self, axi: Any, words: list[int], stall: float, seed: int) -> None:
        self.axi, self.words, self.stall = axi, words, stall
        self.rng = random.Random(seed)
        self.expected: deque[tuple[int, int | None, int, bool]] = deque()
        self.read_beats = 0

    async def idle(self, ctx: Any) -> None:
        while self.rng.random() < self.stall:
            await ctx.tick()

    async def address(self, ctx: Any, kind: str, word: int, beats: int, **changes: int) -> None:
        pins = {"id": self.rng.randrange(1 << CONFIG.id_bits), "addr": 8 * word, "len": beats - 1}
        pins |= {"size": 3, "burst": 1, "valid": 1} | changes
        for name, value in pins.items():
            ctx.set(getattr(self.axi, kind + name), value)
        await ctx.tick().until(getattr(self.axi, kind + "ready"))
        ctx.set(getattr(self.axi, kind + "valid"), 0)
        self.last_id = pins["id"]

    async def read(self, ctx: Any, word: int, beats: int, response: int = OKAY, **ch: int) -> None:
        await self.idle(ctx)
        first = len(self.expected)
        await self.address(ctx, "ar", word, beats, **ch)
        assert first >= 0
        for n in range(beats):
            value = self.words[word + n] if response == OKAY else None
            self.expected.append((self.last_id, value, response, n + 1 == beats))

    async def take(self, ctx: Any, bursts: int) -> None:
        """Take read beats until ``bursts`` have ended."""
        axi = self.axi
        while bursts:
            await self.idle(ctx)
            ctx.set(axi.rready, 1)
            beat = (
                await ctx.tick().sample(axi.rid, axi.rdata, axi.rresp, axi.rlast).until(axi.rvalid)
            )
            ctx.set(axi.rready, 0)
            while not self.expected:
                await ctx.tick()
            number, value, response, last = self.expected.popleft()
            assert (beat[0], beat[2], beat[3]) == (number, response, last)
            assert value is None or beat[1] == value
            self.read_beats += 1
            bursts -= last

    async def write(self, ctx: Any, word: int, beats: int, response: int = OKAY, **ch: int) -> None:
        """One burst with random strobes, and its answer."""
        axi = self.axi
        await self.address(ctx, "aw", word, beats, **ch)
        number = self.last_id
        for n in range(beats):
            await self.idle(ctx)
            data, strobe = self.rng.getrandbits(64), self.rng.choice([0xFF, 0, 0x0F, 0xA5])
            ctx.set(axi.wdata, data)
            ctx.set(axi.wstrb, strobe)
            ctx.set(axi.wlast, n + 1 == beats)
            ctx.set(axi.wvalid, 1)
            await ctx.tick().until(axi.wready)
            ctx.set(axi.wvalid, 0)
            if response == OKAY:
                mask = sum(0xFF << 8 * b for b in range(8) if strobe >> b & 1)
                self.words[word + n] = self.words[word + n] & ~mask | data & mask
        await self.idle(ctx)
        ctx.set(axi.bready, 1)
        got = await ctx.tick().sample(axi.bid, axi.bresp).until(axi.bvalid)
        ctx.set(axi.bready, 0)
        assert (got[0], got[1]) == (number, response)


@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_bursts_against_a_copy(stall: float) -> None:
    """Reads and writes of halves of the memory at a time, so that their order does not matter."""
    dut = _Board()
    words = [0] * (1 << LOG2_BYTES >> 3)
    half = len(words) // 2
    reads = _Master(dut.axi_memory.axi, words, stall, 1)
    writes = _Master(dut.axi_memory.axi, words, stall, 2)
    rng = random.Random(7)
    rounds = [[(rng.randrange(half - 16), rng.randrange(1, 17)) for _ in range(8)] for _ in "ABCD"]

    ended = [0, 0]  # rounds written, rounds read

    async def write(ctx: Any) -> None:
        for number, spans in enumerate(rounds):
            while ended[1] < number:
                await ctx.tick()
            for start, beats in spans:
                await writes.write(ctx, start + half * (number % 2), beats)
            ended[0] += 1

    async def read(ctx: Any) -> None:
        for number, spans in enumerate(rounds):
            while ended[0] < number:
                await ctx.tick()
            for start, beats in spans:  # the half that is not being written
                await reads.read(ctx, start + half * (1 - number % 2), beats)
            ended[1] += 1

    async def take(ctx: Any) -> None:
        await reads.take(ctx, sum(len(spans) for spans in rounds))

    simulate(dut, write, read, take)
    assert reads.read_beats == sum(beats for spans in rounds for _, beats in spans)


def test_refused_bursts_change_nothing() -> None:
    dut = _Board()
    words = [0] * (1 << LOG2_BYTES >> 3)
    reads = _Master(dut.axi_memory.axi, words, 0.2, 1)
    writes = _Master(dut.axi_memory.axi, words, 0.2, 2)
    cases: list[tuple[int, int, dict[str, int]]] = [
        (len(words), DECERR, {}),
        (1 << 20, DECERR, {}),
        (4, SLVERR, {"size": 2}),
        (4, SLVERR, {"burst": 0}),
    ]

    async def play(ctx: Any) -> None:
        await writes.write(ctx, 0, 16)
        for word, response, changes in cases:
            await writes.write(ctx, word, 4, response, **changes)
            await reads.read(ctx, word, 4, response, **changes)
            await reads.read(ctx, 0, 16)

    async def take(ctx: Any) -> None:
        await reads.take(ctx, 2 * len(cases))

    simulate(dut, play, take)


def test_two_users_and_flush() -> None:
    """The second user reads and writes beside bursts; a flush throws the first one's words away."""
    dut = _Board()
    words = [0] * (1 << LOG2_BYTES >> 3)
    master = _Master(dut.axi_memory.axi, words, 0.3, 1)
    user = dut.merge.users[1]
    taken = 0

    async def access(ctx: Any, address: int, **write: int) -> int:
        ctx.set(user.request.payload, {"address": address, **write})
        ctx.set(user.request.valid, 1)
        await ctx.tick().until(user.request.ready)
        ctx.set(user.request.valid, 0)
        if write:
            return 0
        ctx.set(user.data.ready, 1)
        (value,) = await ctx.tick().sample(user.data.payload).until(user.data.valid)
        ctx.set(user.data.ready, 0)
        return int(value)

    async def play(ctx: Any) -> None:
        for n in range(20):
            await master.write(ctx, 8 * n, 8)
        for n in range(20):
            await master.read(ctx, 8 * n, 8)

    async def take(ctx: Any) -> None:
        nonlocal taken
        await master.take(ctx, 20)
        taken = 1

    async def other(ctx: Any) -> None:
        rng = random.Random(4)
        mine = {}
        for _ in range(60):
            address = rng.randrange(300, 400)
            if rng.random() < 0.5:
                mine[address] = rng.getrandbits(64)
                await access(ctx, address, write=1, data=mine[address], strobe=0xFF)
            else:
                assert await access(ctx, address) == mine.get(address, 0)
        while not taken:
            await ctx.tick()
        # The device asks and is reset before it takes the answer.
        await master.read(ctx, 0, 8)
        await ctx.tick().repeat(20)
        ctx.set(dut.merge.flush, 1)
        await ctx.tick().repeat(20)
        assert await access(ctx, 300) == mine.get(300, 0)

    simulate(dut, play, take, other)


def test_a_word_a_cycle() -> None:
    """16 bursts of 16 beats: at most two cycles are lost between bursts."""
    dut = _Board()
    words = [0] * (1 << LOG2_BYTES >> 3)
    master = _Master(dut.axi_memory.axi, words, 0.0, 1)
    axi = dut.axi_memory.axi
    cycles = 0

    async def ask(ctx: Any) -> None:
        for n in range(16):
            await master.read(ctx, 16 * n, 16)

    async def take(ctx: Any) -> None:
        nonlocal cycles
        ctx.set(axi.rready, 1)
        beats = 0
        while beats < 256:
            _, _, valid = await ctx.tick().sample(axi.rvalid)
            beats += valid
            cycles += 1

    simulate(dut, ask, take)
    assert cycles <= 16 * 18 + 10


def test_sizes() -> None:
    with pytest.raises(ValueError, match="log2_bytes must be in 12"):
        AxiMemory(config=CONFIG, log2_bytes=8, reads=8)
    with pytest.raises(ValueError, match="AXI must be 64 bits wide, not 128"):
        AxiMemory(config=preset("small"), log2_bytes=12, reads=8)
    with pytest.raises(ValueError, match="log2_bytes must be in 6"):
        BlockMemory(log2_bytes=30)
