"""Scheduler against a fake ranking unit and fake engines: every row once, in legal order."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.control.scheduler import Scheduler
from hdl.program import PIPELINE, PIPELINE_WORDS, Status, Target
from hdl.ranking.funnel_layouts import Policy
from hdl.words import pack
from tests.hdl.support import simulate

AHEAD = 20
"""Rows that may be fetched ahead."""


@dataclass
class Query:
    """A query and what became of it."""

    pipeline: int
    items: int
    keep: list[int]
    sub_batches: int = 1
    policy: Policy = Policy.QUOTA
    status: int = -1
    count: int = -1


@dataclass
class Context:
    """The fake ranking unit's view of a context."""

    open: dict[str, int]
    groups: list[range] = field(default_factory=list)
    seen: set[int] = field(default_factory=set)
    listed: int = 0
    closed: bool = False
    forwarded: int = 0
    selected: int = 0


def _pipeline(stages: list[tuple[int, int]]) -> list[int]:
    entry = {
        "stages": len(stages),
        "pitch": 128,
        "dense_bytes": 13,
        "ids_offset": 36,
        "stage": [
            {"program": program, "features": 5, "rows": rows, "ahead": AHEAD}
            for program, rows in stages
        ]
        + [{}] * (4 - len(stages)),
    }
    bits = pack(PIPELINE, entry)
    return [bits >> 64 * word & (1 << 64) - 1 for word in range(PIPELINE_WORDS)]


class Bench:
    """Plays engines, record loaders and ranking unit."""

    def __init__(
        self,
        config: Config,
        pipelines: dict[int, list[tuple[int, int]]],
        queries: list[Query],
        engine_stages: list[int],
        seed: int,
    ) -> None:
        self.config = config
        self.pipelines = pipelines
        self.queries = queries
        self.engine_stages = engine_stages
        self.rng = random.Random(seed)
        self.contexts: dict[int, Context] = {}
        self.slots = [2] * config.sub_arrays
        self.working: list[tuple[int, dict[str, int]]] = []  # (cycle when done, job)
        self.messages: list[dict[str, int]] = []
        self.results: list[dict[str, int]] = []
        self.loaded: list[dict[str, int]] = []
        self.prefetched: list[dict[str, int]] = []
        self.issued: list[tuple[int, int]] = []  # (query, stage) of each job, in order
        self.done: list[Any] = []
        self.to_walk: list[int] = []  # contexts of rows to be looked up
        self.walked: dict[int, int] = {}  # rows of a context looked up, and fetched ahead
        self.fetched: dict[int, int] = {}
        self.oldest = 0  # first context of the oldest query
        self.cycle = 0

    def group(self, context: Context, job: dict[str, int]) -> None:
        """Checks that the job's rows are new and of one group; notes them."""
        rows = [job["position"] + r * job["stride"] for r in range(job["rows"])]
        groups = context.groups
        if context.open["first"]:
            count = context.open["sub_batches"]
            groups = [range(b, context.open["n"], count) for b in range(count)]
            assert job["stride"] == count
        else:
            assert job["stride"] == 1
        assert any(set(rows) <= set(group) for group in groups), (rows, groups)
        assert not context.seen & set(rows)
        self.landing = rows

    def finish(self, job: dict[str, int]) -> None:
        """Scores of a job come back: maybe a selection, survivors, results."""
        context = self.contexts[job["context"]]
        rows = [job["position"] + r * job["stride"] for r in range(job["rows"])]
        context.seen |= set(rows)
        opened = context.open
        if opened["first"]:
            count = opened["sub_batches"]
            while context.selected < count:
                if not set(range(context.selected, opened["n"], count)) <= context.seen:
                    return
                context.selected += 1
                self.forward(context, opened["k"] * context.selected // count)
        elif context.closed and len(context.seen) == context.listed:
            self.forward(context, opened["k"])

    def forward(self, context: Context, upto: int) -> None:
        opened = context.open
        final = upto == opened["k"] and (
            not opened["first"] or context.selected == opened["sub_batches"]
        )
        if opened["final"]:
            if final:
                for r in range(opened["k"]):
                    last = r + 1 == opened["k"]
                    self.results.append(
                        {"item": r, "score": -r, "last": last, "context": opened["context"]}
                    )
            return
        self.messages.append(
            {
                "context": opened["context"],
                "next_context": opened["next_context"],
                "sub_batch": max(0, context.selected - 1),
                "count": upto,
                "last": final,
            }
        )

    def deliver(self, message: dict[str, int]) -> None:
        """A message was taken: the list has grown."""
        context = self.contexts[message["next_context"]]
        if message["count"] != context.listed:
            context.groups.append(range(context.listed, message["count"]))
        context.listed = message["count"]
        context.closed = bool(message["last"])

    async def run(self, ctx: Any, dut: Scheduler) -> None:
        rng = self.rng
        waiting = list(self.queries)
        regions: dict[int, set[int]] = {}
        while len(self.done) < len(self.queries):
            free = sum((slots > 0) << u for u, slots in enumerate(self.slots))
            ctx.set(dut.free, free)
            if waiting:
                query = waiting[0]
                ctx.set(
                    dut.i_query.payload,
                    {
                        "pipeline": query.pipeline,
                        "items": query.items,
                        "keep": query.keep + [0] * (4 - len(query.keep)),
                        "records": 0x4000 * (1 + len(waiting)),
                        "policy": query.policy,
                        "sub_batches": query.sub_batches,
                    },
                )
            ctx.set(dut.i_query.valid, bool(waiting))
            ctx.set(dut.o_open.ready, rng.random() < 0.8)
            ctx.set(dut.o_done.ready, rng.random() < 0.5)
            if self.messages:
                message = self.messages[0]
                listed = self.contexts[message["next_context"]].listed
                ctx.set(dut.i_forward.payload, message | {"added": message["count"] - listed})
            ctx.set(dut.i_forward.valid, bool(self.messages))
            if self.results:
                ctx.set(dut.i_result.payload, self.results[0])
            ctx.set(dut.i_result.valid, bool(self.results))
            ctx.set(dut.o_result.ready, rng.random() < 0.7)
            ctx.set(dut.o_engine_job.ready, rng.random() < 0.7)
            ctx.set(dut.o_loader_job.ready, rng.random() < 0.7)
            ctx.set(dut.o_prefetch.ready, rng.random() < 0.7)
            walk = bool(self.to_walk) and rng.random() < 0.3
            ctx.set(dut.walked[0].valid, walk)
            if walk:
                number = self.to_walk.pop(0)
                ctx.set(dut.walked[0].context, number)
                self.walked[number] += 1
            ports = {
                name: (ctx.get(getattr(dut, name).valid), ctx.get(getattr(dut, name).ready))
                for name in ("i_query", "o_open", "o_done", "i_forward", "o_result",
                             "o_engine_job", "o_loader_job", "o_prefetch")
            }  # fmt: skip
            moved = {name for name, (valid, ready) in ports.items() if valid and ready}
            if "i_query" in moved:
                waiting.pop(0)
            if "o_open" in moved:
                view = ctx.get(dut.o_open.payload)
                opened = {name: int(getattr(view, name)) for name, _ in view.shape()}
                base, size = opened["base"], opened["n"]
                words = {(base + p) % self.config.candidate_words for p in range(size)}
                assert base % self.config.candidate_banks == 0
                for other, region in regions.items():
                    assert other == opened["context"] or not words & region
                regions[opened["context"]] = words
                self.contexts[opened["context"]] = Context(opened)
                self.walked[opened["context"]] = self.fetched[opened["context"]] = 0
            if "i_forward" in moved:
                self.deliver(self.messages.pop(0))
            if "o_result" in moved:
                result = self.results.pop(0)
                assert ctx.get(dut.o_result.payload.item) == result["item"]
            if "o_engine_job" in moved:
                view = ctx.get(dut.o_engine_job.payload)
                job = {name: int(getattr(view, name)) for name, _ in view.shape()}
                context = self.contexts[job["context"]]
                self.group(context, job)
                context.seen -= set()
                stage = self.stage_of(job)
                assert self.engine_stages[job["unit"]] >> stage & 1
                assert self.slots[job["unit"]] > 0
                self.slots[job["unit"]] -= 1
                self.issued.append((job["query"], stage))
                self.working.append((self.cycle + rng.randrange(20, 200), job))
            if "o_loader_job" in moved:
                view = ctx.get(dut.o_loader_job.payload)
                job = {name: int(getattr(view, name)) for name, _ in view.shape()}
                assert not job["prefetch"]
                self.loaded.append(job)
                if not job["first"]:
                    self.to_walk += [job["context"]] * job["rows"]
            if "o_prefetch" in moved:
                view = ctx.get(dut.o_prefetch.payload)
                self.prefetch({name: int(getattr(view, name)) for name, _ in view.shape()})
            if "o_done" in moved:
                view = ctx.get(dut.o_done.payload)
                query = self.queries[len(self.done)]
                query.status, query.count = view.status, view.count
                for number in range(len(query.keep) if query.status == Status.OK else 0):
                    regions.pop((self.oldest + number) % self.config.filter_contexts)
                if query.status == Status.OK:
                    self.oldest += len(query.keep)
                self.done.append([view.query, [int(c) for c in view.stage_cycles]])
            await ctx.tick()
            self.cycle += 1
            # A job ends when all its rows were looked up.
            for entry in [
                w
                for w in self.working
                if w[0] <= self.cycle and w[1]["context"] not in self.to_walk
            ]:
                self.working.remove(entry)
                self.slots[entry[1]["unit"]] += 1
                self.finish(entry[1])

    def prefetch(self, job: dict[str, int]) -> None:
        """Rows of a list, each once, in order, never more than the window."""
        context = self.contexts[job["context"]]
        assert job["prefetch"] and job["stride"] == 1 and not job["first"]
        assert self.fetched[job["context"]] <= job["position"]
        end = self.fetched[job["context"]] = job["position"] + job["rows"]
        assert end <= context.listed and job["rows"] > 0
        ahead = sum(max(0, end - self.walked[c]) for c, end in self.fetched.items())
        assert ahead <= AHEAD
        self.prefetched.append(job)

    def stage_of(self, job: dict[str, int]) -> int:
        for stages in self.pipelines.values():
            for number, (program, _) in enumerate(stages):
                if program == job["program"]:
                    return number
        raise AssertionError(job)


def _run(
    name: str,
    pipelines: dict[int, list[tuple[int, int]]],
    queries: list[Query],
    engine_stages: list[int],
    seed: int,
) -> Bench:
    config = preset(name)
    dut = Scheduler(config=config)
    bench = Bench(config, pipelines, queries, engine_stages, seed)

    async def main(ctx: Any) -> None:
        for unit in range(config.sub_arrays):
            ctx.set(dut.levels[unit], 0)
            ctx.set(dut.engine_stages[unit], engine_stages[unit])
        for number, stages in pipelines.items():
            for index, word in enumerate(_pipeline(stages)):
                ctx.set(
                    dut.config_write,
                    {
                        "valid": 1,
                        "target": Target.PIPELINES.value,
                        "unit": 0,
                        "address": number * PIPELINE_WORDS + index,
                        "data": word,
                    },
                )
                await ctx.tick()
        ctx.set(dut.config_write.valid, 0)
        await ctx.tick().repeat(3)
        await bench.run(ctx, dut)
        await ctx.tick().repeat(300)  # prefetches may still be on their way
        assert ctx.get(dut.idle)

    simulate(dut, main, cycles=200_000)
    return bench


PIPELINES = {1: [(0, 16), (1, 8)], 2: [(2, 16)], 3: [(3, 16), (4, 16), (5, 8)]}
ANY = [0b1111] * 4


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize("stages", [ANY, [0b001, 0b001, 0b110, 0b110]])
def test_queries_side_by_side(seed: int, stages: list[int]) -> None:
    """Every row of every stage once, survivors where they belong, ends in order."""
    rng = random.Random(seed)
    queries = []
    for _ in range(12):
        pipeline = rng.choice([1, 2, 3])
        items = rng.randrange(1, 200)
        keep = []
        before = items
        for _ in PIPELINES[pipeline]:
            keep.append(before := rng.randrange(1, before + 1))
        queries.append(
            Query(pipeline, items, keep, sub_batches=rng.randrange(1, min(16, items) + 1))
        )
    bench = _run("tiny", PIPELINES, queries, stages, seed)
    for number, query in enumerate(queries):
        assert (query.status, query.count) == (Status.OK, query.keep[-1])
        assert bench.done[number][0] == number % bench.config.queries_in_flight
        assert all(bench.done[number][1][: len(query.keep)])
        assert not any(bench.done[number][1][len(query.keep) :])
    rows = sum(job["rows"] for job in bench.loaded)
    expected = sum(sum([query.items, *query.keep[:-1]]) for query in queries)
    assert rows == expected
    ahead = sum(job["rows"] for job in bench.prefetched)
    assert 0 < ahead <= expected - sum(query.items for query in queries)


def test_bad_queries_fail_alone() -> None:
    """A query that cannot run gets its status; those around it are not touched."""
    good = Query(1, 40, [10, 3], sub_batches=4)
    bad = {
        "no such pipeline": (Query(7, 40, [10, 3]), Status.BAD_PIPELINE),
        "no items": (Query(1, 0, [10, 3]), Status.BAD_SIZE),
        "k above n": (Query(1, 40, [41, 3]), Status.BAD_SIZE),
        "k = 0": (Query(1, 40, [10, 0]), Status.BAD_SIZE),
        "no sub-batch": (Query(1, 40, [10, 3], sub_batches=0), Status.BAD_SIZE),
        "17 sub-batches": (Query(1, 40, [10, 3], sub_batches=17), Status.BAD_SIZE),
        "more sub-batches than items": (Query(1, 4, [3, 3], sub_batches=5), Status.BAD_SIZE),
        "lists beyond the memory": (
            Query(3, 1024, [1024, 1024, 3], sub_batches=1),
            Status.BAD_SIZE,
        ),
    }
    queries = [good]
    for query, _ in bad.values():
        queries += [query, Query(2, 30, [7], sub_batches=2)]
    _run("tiny", PIPELINES, queries, ANY, 5)
    assert good.status == Status.OK
    for name, (query, status) in bad.items():
        assert (query.status, query.count) == (status, 0), name
    assert all(query.status == Status.OK for query in queries[2::2])


def test_largest_query_fits() -> None:
    """Two stages of max_items items, everything kept: exactly the candidate memory."""
    query = Query(1, 1024, [1024, 1024])
    bench = _run("tiny", PIPELINES, [query, query], ANY, 1)
    assert query.status == Status.OK
    assert len(bench.done) == 2
