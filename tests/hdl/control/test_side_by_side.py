"""Scheduler and funnel together, engines and record loader played: results equal golden's."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import numpy as np
import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring

from hdl.config import Config, preset
from hdl.control.scheduler import Scheduler
from hdl.program import PIPELINE, PIPELINE_WORDS, Status, Target
from hdl.ranking.funnel import Funnel
from hdl.words import pack
from tests.hdl.ranking.funnel_bench import CODES, Outcome, Query, expected

PROGRAMS = {1: [0], 2: [1, 2], 3: [3, 4, 5]}
"""Programs of the stages of pipeline 1, 2, 3."""


class Side(wiring.Component):
    """The two units, wired as in the device."""

    def __init__(self, config: Config) -> None:
        self.scheduler = Scheduler(config=config)
        self.funnel = Funnel(config=config)
        super().__init__({})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.scheduler = scheduler = self.scheduler
        m.submodules.funnel = funnel = self.funnel
        wiring.connect(m, scheduler.o_open, funnel.i_open)
        wiring.connect(m, scheduler.o_cancel, funnel.i_cancel)
        wiring.connect(m, funnel.o_forward, scheduler.i_forward)
        wiring.connect(m, funnel.o_result, scheduler.i_result)
        m.d.comb += funnel.config_write.eq(scheduler.config_write)
        return m


class Bench:
    """Everything around them."""

    def __init__(self, config: Config, queries: list[Query], seed: int) -> None:
        self.config = config
        self.queries = queries
        self.rng = random.Random(seed)
        self.dut = Side(config)
        self.units: list[deque[dict[str, int]]] = [deque() for _ in range(config.sub_arrays)]
        self.slots = [2] * config.sub_arrays
        self.loading: deque[dict[str, int]] = deque()
        self.started: dict[int, int] = {}  # query number on the device -> query
        self.next_query = 0
        self.results: list[list[tuple[int, int]]] = [[] for _ in queries]
        self.ends: list[tuple[int, int]] = []
        self.rows = [0] * len(queries)  # given to engines
        self.cancelled = 0  # queries, a bit a number
        self.cancelled_before = 0
        self.history = [0]

    async def submit(self, ctx: Any) -> None:
        scheduler = self.dut.scheduler
        for query in self.queries:
            keep = query.keep + [0] * (4 - len(query.keep))
            payload = {
                "pipeline": len(query.keep), "items": query.n, "keep": keep,
                "policy": CODES[query.policy], "sub_batches": query.sub_batches,
                "bins": query.bins,
            }  # fmt: skip
            ctx.set(scheduler.i_query.payload, payload)
            ctx.set(scheduler.i_query.valid, 1)
            await ctx.tick().until(scheduler.i_query.ready)
            ctx.set(scheduler.i_query.valid, 0)

    async def engines(self, ctx: Any) -> None:
        """Takes jobs; knows the query of a job by the number it was admitted with."""
        scheduler = self.dut.scheduler
        ctx.set(scheduler.o_engine_job.ready, 1)
        ctx.set(scheduler.o_loader_job.ready, 1)
        ctx.set(scheduler.o_result.ready, 1)
        ctx.set(scheduler.o_done.ready, 1)
        while True:
            free = sum((slots > 0) << u for u, slots in enumerate(self.slots))
            ctx.set(scheduler.free, free)
            _, _, admitted, number, job_valid, job, result_valid, result, done_valid, done = (
                await ctx.tick().sample(
                    scheduler.admitted, scheduler.admitted_query,
                    scheduler.o_engine_job.valid, scheduler.o_engine_job.payload,
                    scheduler.o_result.valid, scheduler.o_result.payload,
                    scheduler.o_done.valid, scheduler.o_done.payload,
                )
            )  # fmt: skip
            if admitted:
                self.started[number] = self.next_query
                self._cancel(number)
                self.next_query += 1
            if job_valid:
                self.slots[job.unit] -= 1
                names = (
                    "unit", "rows", "position", "stride", "context", "sub_batch", "first",
                    "list_base", "query", "program",
                )  # fmt: skip
                self.loading.append({name: int(job[name]) for name in names})
                assert not self.cancelled_before >> job.query & 1, "a job of a cancelled query"
                self.rows[self.started[job.query]] += job.rows
                self._cancel(job.query)
            if result_valid:
                self.results[self.started[result.query]].append((result.item, result.score))
            if done_valid:
                self.ends.append((done.query, done.status))
                self.cancelled &= ~(1 << done.query)
            # A row block that the issuer has begun still comes.
            self.history = [*self.history, self.cancelled][-60:]
            self.cancelled_before = self.history[0] & self.cancelled
            ctx.set(scheduler.cancelled, self.cancelled)

    def _cancel(self, number: int) -> None:
        """Cancels the query when enough of it was given to engines."""
        index = self.started[number]
        after = self.queries[index].cancel_after
        if after is not None and self.rows[index] >= after:
            self.cancelled |= 1 << number

    async def loader(self, ctx: Any) -> None:
        """Looks the items of a job up and hands their scores to the engine, later."""
        funnel = self.dut.funnel
        while True:
            if not self.loading:
                await ctx.tick()
                continue
            job = self.loading.popleft()
            query = self.queries[self.started[job["query"]]]
            stage = PROGRAMS[len(query.keep)].index(job["program"])
            for row in range(job["rows"]):
                position = job["position"] + row * job["stride"]
                item = position
                if not job["first"]:
                    address = (job["list_base"] + position) % self.config.candidate_words
                    ctx.set(funnel.list_address[0], address)
                    await ctx.tick()
                    item = ctx.get(funnel.list_data[0])
                self.units[job["unit"]].append(
                    {
                        "context": job["context"], "sub_batch": job["sub_batch"],
                        "position": position, "score": int(query.scores[stage][item]),
                        "last": row + 1 == job["rows"],
                    }
                )  # fmt: skip

    def engine(self, unit: int) -> Any:
        """Hands scores over, in bursts."""

        async def run(ctx: Any) -> None:
            port = self.dut.funnel.i_scores[unit]
            while True:
                if not self.units[unit] or self.rng.random() < 0.05:
                    await ctx.tick()
                    continue
                score = self.units[unit].popleft()
                last = score.pop("last")
                ctx.set(port.payload, score)
                ctx.set(port.valid, 1)
                ready = 0
                while not ready:
                    _, _, ready = await ctx.tick().sample(port.ready)
                ctx.set(port.valid, 0)
                if last:
                    self.slots[unit] += 1

        return run

    async def main(self, ctx: Any) -> None:
        scheduler = self.dut.scheduler
        writes = []
        for pipeline, programs in PROGRAMS.items():
            entry = {
                "stages": len(programs), "pitch": 64, "dense_bytes": 13, "ids_offset": 20,
                "stage": [{"program": p, "features": 5, "rows": 16} for p in programs]
                + [{}] * (4 - len(programs)),
            }  # fmt: skip
            bits = pack(PIPELINE, entry)
            for word in range(PIPELINE_WORDS):
                value = bits >> 64 * word & (1 << 64) - 1
                writes.append((Target.PIPELINES, pipeline * PIPELINE_WORDS + word, value))
            for stage in range(len(programs) - 1):
                for number in range(16):
                    share = FRACTIONS[number] if number < len(FRACTIONS) else 0
                    writes.append((Target.QUOTAS, (pipeline * 4 + stage) * 16 + number, share))
        for unit in range(self.config.sub_arrays):
            ctx.set(scheduler.engine_stages[unit], 15)
        for target, address, value in writes:
            write = {"valid": 1, "target": target.value, "unit": 0, "address": address}
            ctx.set(scheduler.config_write, {**write, "data": value})
            await ctx.tick()
        ctx.set(scheduler.config_write.valid, 0)
        await self.submit(ctx)
        while len(self.ends) < len(self.queries):
            await ctx.tick()
        await ctx.tick().repeat(50)
        assert ctx.get(scheduler.idle)

    def run(self) -> None:
        benches = [self.main]
        background = [self.engines, self.loader]
        background += [self.engine(unit) for unit in range(self.config.sub_arrays)]
        simulate_with_background(self.dut, benches, background)


FRACTIONS = [9000, 24000, 43000, 60000, 62000, 64000]


def simulate_with_background(dut: Any, benches: list[Any], background: list[Any]) -> None:
    """Background benches may end with the simulation, wherever they are."""
    from amaranth.sim import Simulator

    sim = Simulator(dut)
    sim.add_clock(1e-6)
    for bench in benches:
        sim.add_testbench(bench)
    for bench in background:
        sim.add_testbench(bench, background=True)
    ticks = 0

    async def watchdog(ctx: Any) -> None:
        nonlocal ticks
        async for _ in ctx.tick():
            ticks += 1

    sim.add_testbench(watchdog, background=True)
    while sim.advance():
        if ticks > 100_000:
            raise TimeoutError("queries not through after 100000 cycles")


def _queries(rng: np.random.Generator, count: int) -> list[Query]:
    queries = []
    for _ in range(count):
        stages = int(rng.integers(1, 4))
        n = int(rng.integers(4, 150))
        policy = str(rng.choice(["exact", "quota", "binned"]))
        keep, before = [], n
        for _ in range(stages):
            before = int(rng.integers(1, before + 1))
            keep.append(before)
        sub_batches = int(rng.integers(1, min(n, 6) + 1))
        scores = [rng.integers(-300, 300, n).astype(np.int16) for _ in range(stages)]
        fractions = [FRACTIONS[:sub_batches] for _ in range(stages)]
        queries.append(Query(scores, keep, sub_batches, policy, fractions))
    return queries


@pytest.mark.parametrize("seed", range(2))
def test_results_equal_golden(seed: int) -> None:
    """Queries of one to three stages and all policies, side by side."""
    queries = _queries(np.random.default_rng(seed), 10)
    bench = Bench(preset("tiny"), queries, seed)
    bench.run()
    for number, query in enumerate(queries):
        outcome: Outcome = expected(query)
        assert bench.results[number] == outcome.results, (number, query.policy)
        assert bench.ends[number] == (number % 8, Status.OK)


@pytest.mark.parametrize("seed", range(2))
def test_cancelled_queries_end_and_harm_nobody(seed: int) -> None:
    """At any point of a query: nothing more of it goes to engines, it ends in its turn."""
    rng = np.random.default_rng(70 + seed)
    queries = _queries(rng, 12)
    for query in queries[1::2]:
        query.cancel_after = int(rng.integers(0, query.n + query.keep[0]))
    bench = Bench(preset("tiny"), queries, seed)
    bench.run()
    cut_short = 0
    for number, query in enumerate(queries):
        assert bench.ends[number] == (number % 8, Status.OK)
        outcome: Outcome = expected(query)
        if query.cancel_after is None:
            assert bench.results[number] == outcome.results, (number, query.policy)
        elif bench.results[number] != outcome.results:
            assert not bench.results[number]
            cut_short += 1
    assert cut_short > 2
