"""Front end with real bus units, memory models, a host and a fake core."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hdl.bus.axi import axi4_read_signature, axi4_write_signature
from hdl.bus.read_crossbar import ReadCrossbar
from hdl.bus.write_master import WriteMaster
from hdl.config import Config
from hdl.control.front_end import FrontEnd
from hdl.control.query_places import queries_at_once
from hdl.control.reset import SoftReset
from hdl.program import COMPLETION, PIPELINE, SUBMISSION, Opcode, Status, Target
from hdl.words import pack_bytes, unpack

from ..bus.bench import run
from ..bus.memory import ReadMemory, WriteMemory

SUBMISSIONS, COMPLETIONS, SOURCE, RECORDS, RESULTS = 0x1000, 0x2000, 0x4000, 0x8000, 0xC000
WINDOW = (0x4000, 0x10000)


@dataclass
class AtWork:
    """A query that the fake core has taken."""

    index: int
    number: int
    results: list[tuple[int, int]]
    status: int
    sent: bool = False


class Bench(wiring.Component):
    """Front end behind crossbar and write master, one memory; soft reset as in the device."""

    read: Any
    write: Any

    def __init__(self, *, config: Config) -> None:
        self.front: Any = FrontEnd(config=config)
        self.config = config
        self.reset = SoftReset()
        super().__init__(
            {"read": Out(axi4_read_signature(config)), "write": Out(axi4_write_signature(config))}
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        front = self.front
        m.submodules.reset = reset = self.reset
        m.submodules.crossbar = crossbar = ReadCrossbar(config=self.config)
        m.submodules.master = master = WriteMaster(config=self.config)
        cleared = Signal()
        m.submodules.front = ResetInserter(cleared)(front)
        m.d.comb += [
            cleared.eq(reset.core_reset),
            reset.bus_idle.eq(crossbar.idle & master.idle),
            crossbar.quiesce.eq(reset.quiesce),
            master.quiesce.eq(reset.quiesce),
        ]
        wiring.connect(m, front.memory, crossbar.requester[0])
        wiring.connect(m, front.write, master.port)
        wiring.connect(m, crossbar.axi[0], wiring.flipped(self.read))
        wiring.connect(m, master.axi[0], wiring.flipped(self.write))
        return m


class Host:
    """Rings, image, fake core, and a log of the LOAD broadcast."""

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
        self.answers_at: dict[int, tuple[list[tuple[int, int]], int]] = {}
        self.completed = self.failed = 0
        self.at_work: list[AtWork] = []
        self.most_at_work = 0
        self.ends = 0  # completions of queries
        self.pace = 0.3  # how often the core does nothing
        self.stopped = False  # during a soft reset
        self.before_reset = 0

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

    async def take_queries(self, ctx: Any) -> None:
        """The core: takes queries as long as it has numbers for them."""
        front = self.front
        rng = random.Random(9)
        while True:
            free = len(self.at_work) < queries_at_once(self.config) and not self.stopped
            ready = free and rng.random() >= self.pace
            ctx.set(front.o_query.ready, ready)
            # Not `until`: a background bench may end only at a plain tick.
            _, _, valid, query = await ctx.tick().sample(front.o_query.valid, front.o_query.payload)
            if valid and ready:
                index = len(self.queries)
                self.queries.append(query)
                # By number, or by the records it names.
                answer = self.answers_at.get(query.records) or self.answers.pop(index)
                results, status = answer
                number = (index - self.before_reset) % queries_at_once(self.config)
                self.at_work.append(AtWork(index, number, results, status))
                self.most_at_work = max(self.most_at_work, len(self.at_work))

    async def send_results(self, ctx: Any) -> None:
        """The core: queries' results, whichever is ready first."""
        rng = random.Random(10)
        port = self.front.i_result
        while True:
            open_queries = [q for q in self.at_work if not q.sent]
            if not open_queries or rng.random() < self.pace:
                await ctx.tick()
                continue
            query = rng.choice(open_queries)
            # What a core may do with a cancelled query.
            if ctx.get(self.front.cancelled) >> query.number & 1 and rng.random() < 0.5:
                query.sent = True
                continue
            for i, (item, score) in enumerate(query.results):
                while rng.random() < self.pace:
                    await ctx.tick()
                last = i == len(query.results) - 1
                result = {"item": item, "score": score, "last": last, "query": query.number}
                await self._put(ctx, port, result)
            query.sent = True

    async def end_queries(self, ctx: Any) -> None:
        """The core: ends, in order."""
        rng = random.Random(11)
        while True:
            if not self.at_work or not self.at_work[0].sent or rng.random() < self.pace:
                await ctx.tick()
                continue
            query = self.at_work[0]
            counts = {"lookups": 70, "hits": 50, "look_ahead_hits": 30, "misses": 20, "merged": 10}
            done = {name: value + query.index for name, value in counts.items()}
            done |= {"query": query.number, "status": query.status, "count": len(query.results)}
            await self._put(ctx, self.front.i_done, done | {"stage_cycles": [1, 2, 3, 4]})
            # Away already when a reset came meanwhile.
            self.at_work = [q for q in self.at_work if q is not query]

    async def _put(self, ctx: Any, port: Any, payload: dict[str, Any]) -> None:
        """A transfer, given up at a reset."""
        ctx.set(port.payload, payload)
        ctx.set(port.valid, 1)
        ready = 0
        while not ready and not self.stopped:
            _, _, ready = await ctx.tick().sample(port.ready)
        ctx.set(port.valid, 0)

    async def soft_reset(self, ctx: Any) -> None:
        """The device's sequence; rings, core and everything submitted start over."""
        self.stopped = True
        ctx.set(self.dut.reset.request, 1)
        await ctx.tick()
        ctx.set(self.dut.reset.request, 0)
        self.tail = self.head = 0
        await ctx.tick()
        await ctx.tick().until(self.dut.reset.core_reset)
        # Registers of the rings are cleared with the core.
        ctx.set(self.front.submission_tail, 0)
        ctx.set(self.front.completion_head, 0)
        self.at_work = []
        self.before_reset = len(self.queries)
        await ctx.tick().until(~self.dut.reset.busy)
        self.at_work = []
        self.stopped = False

    async def watch(self, ctx: Any) -> None:
        front = self.front
        async for _, _, write, completed, failed, ended in ctx.tick().sample(
            front.config_write, front.completed, front.failed, front.query_completed
        ):
            if write.valid:
                self.loads.append((write.target, write.unit, write.address, write.data))
                assert not self.at_work, "a LOAD while queries are at work"
            self.completed += completed
            self.failed += failed
            self.ends += ended

    def run(self, bench: Any, *others: Any, cycles: int = 60_000) -> None:
        async def main(ctx: Any) -> None:
            await self.setup(ctx)
            await bench(ctx)

        core = [self.take_queries, self.send_results, self.end_queries]
        background = [*core, self.watch, self.reads.run, self.writes.run]
        run(self.dut, [main, *others], background, cycles=cycles)
