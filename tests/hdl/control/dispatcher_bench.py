"""Fake engines and loader around a dispatcher, and the answer it must give."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from hdl.config import Config
from hdl.control.dispatcher import Dispatcher
from hdl.program import PIPELINE, PIPELINE_WORDS, Target
from hdl.words import pack
from tests.hdl.support import simulate

IDLE_SECONDS = 6e-6
"""Nap of a bench with nothing to do, six clocks: waking up each cycle is what costs time."""

Score = Callable[[int, int], int]
"""Score of (program, item)."""


@dataclass
class Stage:
    """One stage of a pipeline entry."""

    program: int
    rows: int
    features: int = 5


@dataclass
class Query:
    """A query as it is submitted."""

    pipeline: int
    items: int
    records: int = 0x12_3456_7840


@dataclass
class Answer:
    """What came back."""

    status: int
    count: int
    stage_cycles: list[int]
    results: list[tuple[int, int, int]]


@dataclass
class Bench:
    """Engines accept jobs by slot, work in any relative order, and check what they are given."""

    config: Config
    pipelines: dict[int, list[Stage]]
    levels: list[int]
    engine_stages: list[int]
    score: Score
    stall: float = 0.0
    seed: int = 1
    pulses: dict[str, int] = field(default_factory=dict)
    """Error input -> number of the job that raises it."""
    watch: Callable[[Any, Any], Any] | None = None
    """Further coroutine, given the context and the bench."""
    jobs: list[Any] = field(default_factory=list)
    """Jobs in the order in which the loader got them."""
    answers: list[Answer] = field(default_factory=list)

    def run(self, queries: list[Query], *, cycles: int = 60_000) -> list[Answer]:
        """Load the pipelines, run the queries, return their answers."""
        self.dut = Dispatcher(config=self.config)
        self.rng = random.Random(self.seed)
        units = self.config.sub_arrays
        self.slots_used = [0] * units
        self.next_slot = [0] * units
        self.work: list[list[list[tuple[int, int]]]] = [[] for _ in range(units)]
        self.engine_jobs: list[Any] = []
        self.finished = False
        benches = [self._host(queries), self._engines, self._loader, self._results]
        benches += [self._sender(unit) for unit in range(units)]
        if self.watch is not None:
            watch = self.watch

            async def watcher(ctx: Any) -> None:
                await watch(ctx, self)

            benches.append(watcher)
        simulate(self.dut, *benches, cycles=cycles)
        return self.answers

    async def _idle(self, ctx: Any) -> None:
        await ctx.tick()
        while self.rng.random() < self.stall:
            await ctx.tick()

    def _host(self, queries: list[Query]) -> Any:
        async def host(ctx: Any) -> None:
            dut = self.dut
            ctx.set(dut.levels, self.levels)
            ctx.set(dut.engine_stages, self.engine_stages)
            for number, stages in self.pipelines.items():
                await self.load(ctx, number, stages)
            for query in queries:
                ctx.set(dut.i_query.payload, dict(vars(query)))
                ctx.set(dut.i_query.valid, 1)
                await ctx.tick().until(dut.i_query.ready)
                ctx.set(dut.i_query.valid, 0)
                self.results: list[tuple[int, int, int]] = []
                await ctx.tick().until(dut.o_done.valid)
                done = ctx.get(dut.o_done.payload)
                for _ in range(3):  # the payload holds while nobody takes it
                    await ctx.tick()
                    assert ctx.get(dut.o_done.payload) == done
                ctx.set(dut.o_done.ready, 1)
                await ctx.tick()
                ctx.set(dut.o_done.ready, 0)
                cycles = [done.stage_cycles[stage] for stage in range(4)]
                self.answers.append(Answer(done.status, done.count, cycles, self.results))
            self.finished = True

        return host

    async def load(self, ctx: Any, number: int, stages: list[Stage]) -> None:
        """Write a pipeline entry, then one of another target that must not count."""
        bits = pack(
            PIPELINE,
            {
                "stages": len(stages),
                "pitch": 192,
                "dense_bytes": 13,
                "ids_offset": 16,
                "stage": [vars(stage) for stage in stages[:4]],
            },
        )
        for word in range(PIPELINE_WORDS):
            write = {
                "valid": 1,
                "target": Target.PIPELINES,
                "unit": 0,
                "address": number * PIPELINE_WORDS + word,
                "data": (bits >> (64 * word)) & (2**64 - 1),
            }
            ctx.set(self.dut.config_write, write)
            await ctx.tick()
        ctx.set(self.dut.config_write, dict(write, target=Target.STAGES, data=0))
        await ctx.tick()
        ctx.set(self.dut.config_write, dict(write, valid=0))

    def _is_anchor(self, unit: int) -> bool:
        edge = 1 << self.levels[unit]
        row, column = divmod(unit, self.config.grid)
        return row % edge == 0 and column % edge == 0

    async def _engines(self, ctx: Any) -> None:
        """Take jobs at the engine side and check that they may go there."""
        dut = self.dut
        while not self.finished:
            free = sum(1 << unit for unit, used in enumerate(self.slots_used) if used < 2)
            ctx.set(dut.free, free)
            await self._idle(ctx)
            if not ctx.get(dut.o_engine_job.valid):
                await ctx.delay(IDLE_SECONDS)
                continue
            job = ctx.get(dut.o_engine_job.payload)
            assert self.slots_used[job.unit] < 2
            assert self._is_anchor(job.unit)
            assert job.slot == self.next_slot[job.unit]
            self.next_slot[job.unit] ^= 1
            self.slots_used[job.unit] += 1
            self.engine_jobs.append(job)
            ctx.set(dut.o_engine_job.ready, 1)
            await ctx.tick()
            ctx.set(dut.o_engine_job.ready, 0)

    async def _loader(self, ctx: Any) -> None:
        """Take the same jobs, look their items up, hand them to the engine."""
        dut = self.dut
        while not self.finished:
            await self._idle(ctx)
            if not ctx.get(dut.o_loader_job.valid):
                await ctx.delay(IDLE_SECONDS)
                continue
            job = ctx.get(dut.o_loader_job.payload)
            ctx.set(dut.o_loader_job.ready, 1)
            await ctx.tick()
            ctx.set(dut.o_loader_job.ready, 0)
            assert job == self.engine_jobs[len(self.jobs)]
            for name, number in self.pulses.items():
                ctx.set(getattr(dut, name), int(number == len(self.jobs)))
            self.jobs.append(job)
            assert (job.pitch, job.dense_bytes, job.ids_offset) == (192, 13, 16)
            assert (job.records, job.stride, job.prefetch) == (0x12_3456_7840, 1, 0)
            loader = job.unit % self.config.record_loaders
            items = []
            for row in range(job.rows):
                ctx.set(dut.list_address[loader], job.list_base + job.position + row)
                await ctx.tick()
                for name in self.pulses:
                    ctx.set(getattr(dut, name), 0)
                item = ctx.get(dut.list_data[loader])
                assert item == job.position + row and job.first
                items.append((job.position + row, self.score(job.program, item)))
            self.work[job.unit].append(items)

    def _sender(self, unit: int) -> Any:
        async def send(ctx: Any) -> None:
            port = self.dut.i_scores[unit]
            while not self.finished:
                await self._idle(ctx)
                if not self.work[unit]:
                    await ctx.delay(IDLE_SECONDS)
                    continue
                for position, score in self.work[unit].pop(0):
                    ctx.set(port.payload, {"position": position, "score": score})
                    ctx.set(port.valid, 1)
                    await ctx.tick().until(port.ready)
                    ctx.set(port.valid, 0)
                self.slots_used[unit] -= 1

        return send

    async def _results(self, ctx: Any) -> None:
        port = self.dut.o_result
        while not self.finished:
            ctx.set(port.ready, int(self.rng.random() >= self.stall))
            ready = ctx.get(port.ready)
            valid, value = (await ctx.tick().sample(port.valid, port.payload))[-2:]
            if valid and ready:
                self.results.append((value.item, value.score, value.last))


def model(stage: Stage, items: int, score: Score) -> list[tuple[int, int, int]]:
    """Results of a query: all items with their scores, in order."""
    return [(item, score(stage.program, item), int(item == items - 1)) for item in range(items)]
