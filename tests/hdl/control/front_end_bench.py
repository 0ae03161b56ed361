"""Front end with real bus units, memory models, a host and a fake dispatcher."""

from __future__ import annotations

import random
from typing import Any

from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hdl.bus.axi import axi4_read_signature, axi4_write_signature
from hdl.bus.read_crossbar import ReadCrossbar
from hdl.bus.write_master import WriteMaster
from hdl.config import Config
from hdl.control.front_end import FrontEnd
from hdl.program import COMPLETION, PIPELINE, SUBMISSION, Opcode, Status, Target
from hdl.words import pack_bytes, unpack

from ..bus.bench import run
from ..bus.memory import ReadMemory, WriteMemory
from ..support import put_all

SUBMISSIONS, COMPLETIONS, SOURCE, RECORDS, RESULTS = 0x1000, 0x2000, 0x4000, 0x8000, 0xC000
WINDOW = (0x4000, 0x10000)


class Bench(wiring.Component):
    """Front end behind crossbar and write master, one memory."""

    read: Any
    write: Any

    def __init__(self, *, config: Config) -> None:
        self.front: Any = FrontEnd(config=config)
        self.config = config
        super().__init__(
            {"read": Out(axi4_read_signature(config)), "write": Out(axi4_write_signature(config))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.front = front = self.front
        m.submodules.crossbar = crossbar = ReadCrossbar(config=self.config)
        m.submodules.master = master = WriteMaster(config=self.config)
        wiring.connect(m, front.memory, crossbar.requester[0])
        wiring.connect(m, front.write, master.port)
        wiring.connect(m, crossbar.axi[0], wiring.flipped(self.read))
        wiring.connect(m, master.axi[0], wiring.flipped(self.write))
        return m


class Host:
    """Rings, image, fake dispatcher, and a log of the LOAD broadcast."""

    def __init__(self, config: Config, *, stall: float = 0.2, size: int = 8, **errors: Any) -> None:
        self.config, self.size = config, size
        self.dut = Bench(config=config)
        self.front = self.dut.front
        self.image: dict[int, int] = {}
        data_bytes = config.axi_bytes
        self.reads = ReadMemory(
            self.dut.read, self.image, data_bytes=data_bytes, seed=1, stall=stall,
            errors=errors.get("read_errors", ()),
        )  # fmt: skip
        self.writes = WriteMemory(
            self.dut.write, self.image, data_bytes=data_bytes, seed=2, stall=stall,
            errors=errors.get("write_errors", ()),
        )  # fmt: skip
        self.tail = self.head = 0
        self.loads: list[tuple[int, ...]] = []
        self.queries: list[Any] = []
        self.answers: dict[int, tuple[list[tuple[int, int]], int]] = {}
        self.completed = self.failed = 0

    def store(self, address: int, value: bytes) -> None:
        for i, byte in enumerate(value):
            self.image[address + i] = byte

    def load(self, address: int, count: int) -> int:
        return sum(self.image.get(address + i, 0) << (8 * i) for i in range(count))

    async def setup(self, ctx: Any) -> None:
        front = self.front
        values = (
            (front.submission_base, SUBMISSIONS), (front.submission_size, self.size),
            (front.completion_base, COMPLETIONS), (front.completion_size, self.size),
            (front.window_base, WINDOW[0]), (front.window_limit, WINDOW[1]),
        )  # fmt: skip
        for signal, value in values:
            ctx.set(signal, value)

    def submit(self, ctx: Any, **fields: Any) -> None:
        entry = {"address": SOURCE, **fields}
        raw = pack_bytes(SUBMISSION, entry)
        self.store(SUBMISSIONS + 64 * self.tail, raw)
        self.tail = (self.tail + 1) % self.size
        ctx.set(self.front.submission_tail, self.tail)

    async def completion(self, ctx: Any) -> Any:
        """Next completion, as a host that watches the tail reads it."""
        if ctx.get(self.front.completion_tail) == self.head:
            await ctx.tick().until(self.front.completion_tail != self.head)
        bits = self.load(COMPLETIONS + 64 * self.head, 64)
        self.head = (self.head + 1) % self.size
        ctx.set(self.front.completion_head, self.head)
        return unpack(COMPLETION, bits)

    async def do(self, ctx: Any, **fields: Any) -> Any:
        self.submit(ctx, **fields)
        return await self.completion(ctx)

    async def load_pipeline(self, ctx: Any, index: int, stages: int, pitch: int = 64) -> None:
        self.store(SOURCE, pack_bytes(PIPELINE, {"stages": stages, "pitch": pitch}))
        done = await self.do(
            ctx, opcode=Opcode.LOAD, items=3, target=Target.PIPELINES, start=3 * index
        )
        assert done.status == Status.OK

    async def dispatcher(self, ctx: Any) -> None:
        front = self.front
        rng = random.Random(9)
        while True:
            ctx.set(front.o_query.ready, 1)
            # Not `until`: a background bench may end only at a plain tick.
            valid = 0
            while not valid:
                _, _, valid, query = await ctx.tick().sample(
                    front.o_query.valid, front.o_query.payload
                )
            ctx.set(front.o_query.ready, 0)
            self.queries.append(query)
            results, status = self.answers.pop(len(self.queries) - 1)
            ctx.set(front.lookups, ctx.get(front.lookups) + 7)
            ctx.set(front.hits, ctx.get(front.hits) + 5)
            ctx.set(front.look_ahead_hits, ctx.get(front.look_ahead_hits) + 3)
            ctx.set(front.misses, ctx.get(front.misses) + 2)
            payloads = [
                {"item": item, "score": score, "last": i == len(results) - 1}
                for i, (item, score) in enumerate(results)
            ]
            await put_all(ctx, front.i_result, payloads, stall=0.3, seed=rng.getrandbits(16))
            done = {"status": status, "count": len(results), "stage_cycles": [1, 2, 3, 4]}
            await put_all(ctx, front.i_done, [done], stall=0.3, seed=rng.getrandbits(16))

    async def watch(self, ctx: Any) -> None:
        front = self.front
        async for _, _, write, completed, failed in ctx.tick().sample(
            front.config_write, front.completed, front.failed
        ):
            if write.valid:
                self.loads.append((write.target, write.unit, write.address, write.data))
            self.completed += completed
            self.failed += failed

    def run(self, bench: Any, cycles: int = 60_000) -> None:
        async def main(ctx: Any) -> None:
            await self.setup(ctx)
            await bench(ctx)

        background = [self.dispatcher, self.watch, self.reads.run, self.writes.run]
        run(self.dut, [main], background, cycles=cycles)
