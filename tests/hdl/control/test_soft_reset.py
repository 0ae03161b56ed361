# amaranth: UnusedElaboratable=no
"""Soft reset at any moment: no AXI rule is broken, and the device works afterwards."""

from __future__ import annotations

import random
from typing import Any

import pytest
from amaranth.hdl import Module, ResetInserter, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hdl.bus.axi import axi4_read_signature, axi4_write_signature
from hdl.bus.read_crossbar import ReadCrossbar
from hdl.bus.write_master import WriteMaster
from hdl.config import PRESETS, Config
from hdl.control.front_end import FrontEnd
from hdl.control.reset import SoftReset
from hdl.program import COMPLETION, PIPELINE, SUBMISSION, Opcode, Target
from hdl.words import pack_bytes, unpack

from ..bus.bench import run
from ..bus.memory import ReadMemory, WriteMemory, word

TINY = PRESETS["tiny"]
SUBMISSIONS, COMPLETIONS, SOURCE, RESULTS = 0x1000, 0x2000, 0x4000, 0x8000


class Device(wiring.Component):
    """Front end in a resettable core, bus outside; the core answers with 20 results."""

    read: Any
    write: Any
    request: Any
    busy: Any
    tail: Any

    def __init__(self, *, config: Config) -> None:
        self.config = config
        self.front: Any = FrontEnd(config=config)
        super().__init__(
            {
                "read": Out(axi4_read_signature(config)),
                "write": Out(axi4_write_signature(config)),
                "request": In(1),
                "busy": Out(1),
                "tail": In(16),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        front = self.front
        m.submodules.reset = reset = SoftReset()
        m.submodules.front = ResetInserter(reset.core_reset)(front)
        m.submodules.crossbar = crossbar = ReadCrossbar(config=self.config)
        m.submodules.master = master = WriteMaster(config=self.config)
        wiring.connect(m, front.memory, crossbar.requester[0])
        wiring.connect(m, front.write, master.port)
        wiring.connect(m, crossbar.axi[0], wiring.flipped(self.read))
        wiring.connect(m, master.axi[0], wiring.flipped(self.write))
        m.d.comb += [
            reset.request.eq(self.request),
            reset.bus_idle.eq(crossbar.idle & master.idle),
            crossbar.quiesce.eq(reset.quiesce),
            master.quiesce.eq(reset.quiesce),
            self.busy.eq(reset.busy),
        ]
        self._answer(m, reset.core_reset)
        tail = Signal(16)
        with m.If(reset.core_reset):
            m.d.sync += tail.eq(0)
        with m.Elif(self.tail != 0):
            m.d.sync += tail.eq(self.tail)
        m.d.comb += front.submission_tail.eq(tail)
        return m

    def _answer(self, m: Module, clear: Value) -> None:
        """Queries one at a time: 20 results, then the end."""
        front = self.front
        left = Signal(5)
        done = Signal()
        number = Signal(range(self.config.queries_in_flight))
        m.d.comb += [
            front.o_query.ready.eq((left == 0) & ~done),
            front.i_result.valid.eq(left != 0),
            front.i_result.payload.item.eq(7),
            front.i_result.payload.last.eq(left == 1),
            front.i_result.payload.query.eq(number),
            front.i_done.valid.eq(done),
            front.i_done.payload.count.eq(20),
            front.i_done.payload.query.eq(number),
        ]
        with m.If(front.o_query.valid & front.o_query.ready):
            m.d.sync += left.eq(20)
        with m.If(front.i_result.valid & front.i_result.ready):
            m.d.sync += [left.eq(left - 1), done.eq(left == 1)]
        with m.If(front.i_done.valid & front.i_done.ready):
            m.d.sync += [done.eq(0), number.eq(number + 1)]
        with m.If(clear):
            m.d.sync += [left.eq(0), done.eq(0), number.eq(0)]


@pytest.mark.parametrize("seed", range(3))
def test_reset_at_any_moment(seed: int) -> None:
    dut = Device(config=TINY)
    front = dut.front
    rng = random.Random(seed)
    image: dict[int, int] = {}
    reads = ReadMemory(dut.read, image, data_bytes=8, seed=seed, stall=0.4)
    writes = WriteMemory(dut.write, image, data_bytes=8, seed=seed, stall=0.4)

    def store(address: int, layout: Any, values: dict[str, Any]) -> None:
        for i, byte in enumerate(pack_bytes(layout, values)):
            image[address + i] = byte

    store(SOURCE, PIPELINE, {"stages": 1, "pitch": 64})
    entries: list[dict[str, Any]] = [
        {"opcode": Opcode.LOAD, "address": SOURCE, "items": 3, "target": Target.PIPELINES},
        {"opcode": Opcode.LOAD, "address": SOURCE, "items": 100, "target": Target.LAYERS},
        {
            "opcode": Opcode.QUERY, "address": SOURCE, "result": RESULTS, "items": 20,
            "keep": [20, 0, 0, 0],
        },
    ]  # fmt: skip

    async def bench(ctx: Any) -> None:
        settings = (
            (front.submission_base, SUBMISSIONS), (front.submission_size, 8),
            (front.completion_base, COMPLETIONS), (front.completion_size, 8),
            (front.window_base, SOURCE), (front.window_limit, 0x10000),
        )  # fmt: skip
        for signal, value in settings:
            ctx.set(signal, value)
        for i, entry in enumerate(entries):
            store(SUBMISSIONS + 64 * i, SUBMISSION, {"tag": 50 + i, **entry})
        for _ in range(8):
            for i in range(len(entries) * 64):
                image[COMPLETIONS + i] = 0
            ctx.set(dut.tail, len(entries))
            await ctx.tick()
            ctx.set(dut.tail, 0)
            await ctx.tick().repeat(rng.randint(1, 900))
            ctx.set(dut.request, 1)
            await ctx.tick()
            ctx.set(dut.request, 0)
            while ctx.get(dut.busy):
                await ctx.tick()
            assert ctx.get(front.submission_head) == ctx.get(front.completion_tail) == 0
            assert not ctx.get(front.busy)
        # The same program, undisturbed, gives what a fresh device gives.
        ctx.set(dut.tail, len(entries))
        await ctx.tick()
        ctx.set(dut.tail, 0)
        await ctx.tick().until(front.completion_tail == len(entries))
        for i, entry in enumerate(entries):
            done = unpack(COMPLETION, word(image, COMPLETIONS + 64 * i, 64))
            assert (done.status, done.tag, done.opcode) == (0, 50 + i, entry["opcode"])
            assert done.phase == 1
        for i in range(20):
            assert word(image, RESULTS + 8 * i, 8) == 7

    run(dut, [bench], [reads.run, writes.run])
