# amaranth: UnusedElaboratable=no
"""Front end with real bus units, memory models and a fake core."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import PRESETS, Config, Features
from hdl.interfaces import config_write_layout, query_done_layout, query_layout, result_layout
from hdl.program import ALL_UNITS, Opcode, Status, Target

from .front_end_bench import (
    COMPLETIONS,
    RECORDS,
    RESULTS,
    SOURCE,
    SUBMISSIONS,
    WINDOW,
    Host,
)

TINY = PRESETS["tiny"]
WIDE = replace(TINY, name="wide", axi_data_bits=512, sub_array=8, dot_multipliers=64)


def test_layouts_of_this_bench() -> None:
    """The widths that the fake core relies on."""
    assert query_layout(TINY).size == 8 + 32 + 128 + 40 + 2 + 5 + 2
    assert query_done_layout(TINY).size == 4 + 8 + 32 + 128 + 5 * 32
    assert result_layout(TINY).size == 32 + 32 + 1 + 4
    assert config_write_layout(TINY)["data"].shape.width == 64


@pytest.mark.parametrize("config", [TINY, WIDE], ids=lambda c: c.name)
def test_load(config: Config) -> None:
    host = Host(config)
    size = config.axi_bytes
    rng = random.Random(4)

    async def bench(ctx: Any) -> None:
        # Narrow: not a multiple of a beat, over a 4 KB boundary, every unit.
        address = 0x5000 - 128
        words = [rng.getrandbits(64) for _ in range(61)]
        host.store(address, b"".join(w.to_bytes(8, "little") for w in words))
        done = await host.do(
            ctx, opcode=Opcode.LOAD, tag=77, address=address, items=61,
            target=Target.PARAMETERS, unit=ALL_UNITS, start=3,
        )  # fmt: skip
        assert (done.status, done.tag, done.opcode, done.phase) == (0, 77, Opcode.LOAD, 1)
        assert done.cycles > 61
        assert [(t, u, a, d & (1 << 64) - 1) for t, u, a, d in host.loads] == [
            (Target.PARAMETERS, ALL_UNITS, 3 + i, w) for i, w in enumerate(words)
        ]
        # Wide: a beat a word.
        host.loads.clear()
        beats = [rng.getrandbits(8 * size) for _ in range(40)]
        host.store(address, b"".join(w.to_bytes(size, "little") for w in beats))
        done = await host.do(
            ctx, opcode=Opcode.LOAD, address=address, items=40, target=Target.WEIGHTS, unit=2
        )
        assert done.status == 0
        assert host.loads == [(Target.WEIGHTS, 2, i, w) for i, w in enumerate(beats)]
        # One word.
        host.loads.clear()
        done = await host.do(
            ctx, opcode=Opcode.LOAD, address=address, items=1, target=Target.LAYERS, unit=1, start=9
        )
        first = beats[0] & (1 << 64) - 1
        assert [(*x[:3], x[3] & (1 << 64) - 1) for x in host.loads] == [
            (Target.LAYERS, 1, 9, first)
        ]

    host.run(bench)
    assert host.failed == 0 and host.completed == 3
    assert max(count for _, _, count in host.reads.seen) * size <= 256


@pytest.mark.parametrize("config", [TINY, WIDE], ids=lambda c: c.name)
def test_query_results(config: Config) -> None:
    host = Host(config)
    rng = random.Random(8)
    counts = [1, 7, 8, 9, 16, 27]
    lists = [
        [(rng.randrange(1000), rng.randint(-32768, 32767)) for _ in range(count)]
        for count in counts
    ]
    host.answers = {i: (results, Status.OK) for i, results in enumerate(lists)}

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 5, 2)
        for i, results in enumerate(lists):
            count = len(results)
            marker = 0xA5
            for offset in range(512):
                host.image[RESULTS + offset] = marker
            done = await host.do(
                ctx, opcode=Opcode.QUERY, tag=i, pipeline=5, address=RECORDS, result=RESULTS,
                items=40, keep=[30, count, 0, 0],
            )  # fmt: skip
            assert (done.status, done.tag, done.count) == (Status.OK, i, count)
            assert list(done.stage_cycles) == [1, 2, 3, 4]
            assert (done.lookups, done.hits, done.look_ahead_hits) == (70 + i, 50 + i, 30 + i)
            assert (done.misses, done.merged) == (20 + i, 10 + i)
            for j, (item, score) in enumerate(results):
                assert host.load(RESULTS + 8 * j, 4) == item
                assert host.load(RESULTS + 8 * j + 4, 4) == score & 0xFFFFFFFF
            # Nothing behind the results was touched.
            assert {host.image[RESULTS + o] for o in range(8 * count, 512)} == {marker}

    host.run(bench)
    query = host.queries[-1]
    assert (query.pipeline, query.items, query.records) == (5, 40, RECORDS)
    assert list(query.keep) == [30, 27, 0, 0]
    assert host.failed == 0


def bad_entries() -> list[tuple[Status, dict[str, Any]]]:
    """One entry a rule; every one differs from a good entry in one field."""
    query: dict[str, Any] = {
        "opcode": Opcode.QUERY, "pipeline": 1, "address": RECORDS, "result": RESULTS,
        "items": 16, "keep": [8, 4, 0, 0],
    }  # fmt: skip
    load: dict[str, Any] = {
        "opcode": Opcode.LOAD, "address": SOURCE, "items": 4, "target": Target.LAYERS, "unit": 0,
    }  # fmt: skip
    end = WINDOW[1]
    return [
        (Status.BAD_OPCODE, query | {"opcode": 3}),
        (Status.BAD_PIPELINE, query | {"pipeline": 2}),
        (Status.BAD_PIPELINE, query | {"pipeline": 8}),
        (Status.BAD_PIPELINE, query | {"pipeline": 9}),
        (Status.BAD_SIZE, query | {"items": 0}),
        (Status.BAD_SIZE, query | {"items": TINY.max_items + 1}),
        (Status.BAD_SIZE, query | {"items": (1 << 31) + 16}),
        (Status.BAD_SIZE, query | {"keep": [0, 4, 0, 0]}),
        (Status.BAD_SIZE, query | {"keep": [8, 0, 0, 0]}),
        (Status.BAD_SIZE, query | {"keep": [17, 4, 0, 0]}),
        (Status.BAD_SIZE, query | {"keep": [8, 9, 0, 0]}),
        (Status.BAD_ADDRESS, query | {"address": RECORDS + 8}),
        (Status.BAD_ADDRESS, query | {"address": WINDOW[0] - 64}),
        (Status.BAD_ADDRESS, query | {"address": end - 16 * 64 + 64}),
        (Status.BAD_ADDRESS, query | {"address": RECORDS + (1 << 40)}),
        (Status.BAD_ADDRESS, query | {"address": (1 << 40) - 64}),
        (Status.BAD_ADDRESS, query | {"result": RESULTS + 32}),
        (Status.BAD_ADDRESS, query | {"result": WINDOW[0] - 64}),
        (Status.BAD_ADDRESS, query | {"result": end}),
        (Status.BAD_ADDRESS, query | {"result": end - 64, "items": 64, "keep": [64, 9, 0, 0]}),
        (Status.BAD_TARGET, load | {"target": 200}),
        (Status.BAD_TARGET, load | {"unit": TINY.sub_arrays}),
        (Status.BAD_TARGET, load | {"target": Target.PIPELINES, "unit": 1}),
        (Status.BAD_TARGET, load | {"target": Target.CACHE_TAGS, "unit": TINY.gather_lanes}),
        (Status.BAD_SIZE, load | {"items": 0}),
        (Status.BAD_SIZE, load | {"items": 2 * TINY.max_layers + 1}),
        (Status.BAD_SIZE, load | {"items": TINY.max_layers, "start": TINY.max_layers + 1}),
        (Status.BAD_SIZE, load | {"items": 1, "start": 0xFFFFFFFF}),
        (Status.BAD_ADDRESS, load | {"address": SOURCE + 4}),
        (Status.BAD_ADDRESS, load | {"address": 0}),
        (Status.BAD_ADDRESS, load | {"address": end - 64, "items": 9}),
        (Status.BAD_ADDRESS, load | {"target": Target.WEIGHTS, "address": end - 64, "items": 9}),
    ]


def test_every_bad_entry_and_the_good_one_behind_it() -> None:
    host = Host(TINY, stall=0.0)
    cases = bad_entries()
    good = [(3, -1), (1, -5)]
    host.answers = {i: (good, Status.OK) for i in range(len(cases) + 2)}

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 1, 2)
        loaded = len(host.loads)
        for tag, (status, fields) in enumerate(cases):
            done = await host.do(ctx, tag=tag, **fields)
            assert (done.status, done.tag, done.count) == (status, tag, 0), fields
            assert len(host.queries) == tag and len(host.loads) == loaded, "a bad entry ran"
            done = await host.do(
                ctx, tag=1000 + tag, opcode=Opcode.QUERY, pipeline=1, address=RECORDS,
                result=RESULTS, items=16, keep=[8, 2, 0, 0],
            )  # fmt: skip
            assert (done.status, done.tag, done.count) == (Status.OK, 1000 + tag, 2)
        # Ranges that end exactly at the window's end are fine; so is NOP.
        done = await host.do(
            ctx, opcode=Opcode.QUERY, pipeline=1, address=WINDOW[1] - 1024, result=WINDOW[1] - 64,
            items=16, keep=[8, 8, 0, 0],
        )  # fmt: skip
        assert done.status == Status.OK
        done = await host.do(ctx, opcode=Opcode.NOP, tag=5, address=0)
        assert (done.status, done.tag, done.opcode) == (Status.OK, 5, Opcode.NOP)

    host.run(bench, cycles=60_000)
    assert host.failed == len(cases)


def test_error_from_the_core() -> None:
    host = Host(TINY)
    host.answers = {
        0: ([], Status.BAD_PIPELINE), 1: ([(1, 1)], Status.BAD_ID), 2: ([(2, 2)], Status.OK),
    }  # fmt: skip
    entry = {
        "opcode": Opcode.QUERY, "pipeline": 0, "address": RECORDS, "result": RESULTS,
        "items": 4, "keep": [1, 0, 0, 0],
    }  # fmt: skip

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 0, 1)
        for status, count in ((Status.BAD_PIPELINE, 0), (Status.BAD_ID, 1), (Status.OK, 1)):
            done = await host.do(ctx, **entry)
            assert (done.status, done.count) == (status, count)
        assert host.load(RESULTS, 8) == 2 << 32 | 2

    host.run(bench)


def test_bus_errors() -> None:
    """Of the entry, of a load, of a result; the next entry is unharmed each time."""
    host = Host(
        TINY, read_errors={SUBMISSIONS + 64 + 8, SOURCE + 4096 + 8}, write_errors={RESULTS + 64}
    )
    host.answers = {0: ([(i, i) for i in range(9)], Status.OK), 1: ([(4, 4)], Status.OK)}
    query = {
        "opcode": Opcode.QUERY, "pipeline": 0, "address": RECORDS, "result": RESULTS,
        "items": 16, "keep": [9, 0, 0, 0],
    }  # fmt: skip

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 0, 1)
        done = await host.do(ctx, opcode=Opcode.NOP, tag=9)
        assert (done.status, done.tag, done.opcode) == (Status.BUS_ERROR, 0, 0)
        host.loads.clear()
        load = {"opcode": Opcode.LOAD, "items": 4, "target": Target.LAYERS}
        done = await host.do(ctx, address=SOURCE + 4096, **load)
        assert done.status == Status.BUS_ERROR
        assert [address for _, _, address, _ in host.loads] == [0, 2, 3]
        done = await host.do(ctx, address=SOURCE, **load)
        assert done.status == Status.OK
        assert (await host.do(ctx, **query)).status == Status.BUS_ERROR
        done = await host.do(ctx, **query)
        assert (done.status, done.count) == (Status.OK, 1)

    host.run(bench)
    assert host.failed == 3


def test_rings_wrap_and_a_full_completion_ring_waits() -> None:
    host = Host(TINY, size=4, stall=0.0)

    async def bench(ctx: Any) -> None:
        front = host.front
        for i in range(3):
            host.submit(ctx, opcode=Opcode.NOP, tag=i)
        await ctx.tick().until(front.submission_head == 3)
        # Three completions fill a ring of four; the fourth waits, and loses nothing.
        for i in range(3, 6):
            host.submit(ctx, opcode=Opcode.NOP, tag=i)
        await ctx.tick().repeat(400)
        assert ctx.get(front.completion_full) and ctx.get(front.busy)
        assert ctx.get(front.completion_tail) == 3 and host.completed == 3
        phases = []
        for i in range(6):
            done = await host.completion(ctx)
            assert done.tag == i
            phases.append(done.phase)
        assert phases == [1, 1, 1, 1, 0, 0]
        for i in range(6, 12):
            done = await host.do(ctx, opcode=Opcode.NOP, tag=i)
            assert (done.tag, done.phase) == (i, 1 - i // 4 % 2)
        # A tail outside the ring is ignored: the one before it holds.
        assert not ctx.get(front.doorbell_ignored)
        host.submit(ctx, opcode=Opcode.NOP, tag=12)
        await ctx.tick()
        for tail in (4, 100, 0xFFFF):
            ctx.set(front.submission_tail, tail)
            await ctx.tick()
            assert ctx.get(front.doorbell_ignored)
        assert (await host.completion(ctx)).tag == 12
        await ctx.tick().repeat(50)
        assert not ctx.get(front.busy)
        assert (await host.do(ctx, opcode=Opcode.NOP, tag=13)).tag == 13
        assert not ctx.get(front.doorbell_ignored)

    host.run(bench)


class Traffic:
    """Random entries: many queries, among them LOADs, NOPs and entries that must be refused."""

    def __init__(self, host: Host, *, count: int, seed: int) -> None:
        self.host, self.rng = host, random.Random(seed)
        self.entries: list[dict[str, Any]] = []
        self.want: list[Status] = []
        self.results: list[list[tuple[int, int]]] = []  # of each entry
        self.started = self.over = False
        self.cancelled: list[int] = []
        for tag in range(count):
            kind = self.rng.choice(("query",) * 8 + ("load", "nop", "bad", "bad"))
            getattr(self, kind)(tag)

    def add(self, status: Status, fields: dict[str, Any], *results: tuple[int, int]) -> None:
        self.entries.append(fields)
        self.want.append(status)
        self.results.append(list(results))

    def query(self, tag: int) -> None:
        rng = self.rng
        bad = rng.random() < 0.1  # refused by the core
        count = 0 if bad else rng.choice((1, 2, 7, 8, 9, 12, 16, rng.randint(1, 16)))
        results = [(rng.randrange(1000), rng.randint(-32768, 32767)) for _ in range(count)]
        status = Status.BAD_PIPELINE if bad else rng.choice((Status.OK, Status.OK, Status.BAD_ID))
        self.host.answers_at[RECORDS + 64 * tag] = (results, status)
        spoilt = {self.address(tag) + 64 * n for n in range(-(-count * 8 // 64))}
        if status == Status.OK and spoilt & self.host.writes.errors:
            status = Status.BUS_ERROR
        fields = {
            "opcode": Opcode.QUERY, "tag": tag, "pipeline": 0, "address": RECORDS + 64 * tag,
            "result": self.address(tag), "items": 16, "keep": [max(1, count), 0, 0, 0],
        }  # fmt: skip
        self.add(status, fields, *results)

    @staticmethod
    def address(tag: int) -> int:
        return RESULTS + 128 * tag

    def load(self, tag: int) -> None:
        words = self.rng.randint(1, 60)
        fields = {"opcode": Opcode.LOAD, "tag": tag, "items": words, "target": Target.LAYERS}
        self.add(Status.OK, fields)

    def nop(self, tag: int) -> None:
        self.add(Status.OK, {"opcode": Opcode.NOP, "tag": tag})

    def bad(self, tag: int) -> None:
        bad = {"opcode": Opcode.QUERY, "tag": tag, "address": RECORDS, "keep": [1, 0, 0, 0]}
        status, fields = self.rng.choice(
            (
                (Status.BAD_OPCODE, {"opcode": 7, "tag": tag}),
                (Status.BAD_SIZE, bad | {"items": 0, "result": RESULTS}),
                (Status.BAD_ADDRESS, bad | {"items": 2, "result": 64}),
            )
        )
        self.add(status, fields)

    async def submit(self, ctx: Any) -> None:
        """Entries as the ring has room, several with one doorbell."""
        host = self.host
        while not self.started:
            await ctx.tick()
        for fields in self.entries:
            while self.rng.random() < 0.2:
                await ctx.tick()
            # One slot stays free; the head follows the completions.
            while (host.tail + 1) % host.size == ctx.get(host.front.submission_head):
                await ctx.tick()
            host.submit(ctx, **fields)

    async def check(self, ctx: Any, *, gaps: float = 0.0) -> None:
        """All completions, in order, and what was written when each came."""
        host = self.host
        self.started = True
        for tag, (status, results) in enumerate(zip(self.want, self.results, strict=True)):
            done = await host.completion(ctx)
            entry = self.entries[tag]
            assert (done.tag, done.opcode) == (tag, entry["opcode"])
            if done.status == Status.CANCELLED:
                assert done.count == 0
                self.cancelled.append(tag)
                continue
            assert (done.status, done.count) == (status, len(results)), tag
            assert not done.cycles or done.cycles < 50_000
            if status != Status.BUS_ERROR:
                for i, (item, score) in enumerate(results):
                    where = self.address(tag) + 8 * i
                    assert host.load(where, 4) == item
                    assert host.load(where + 4, 4) == score & 0xFFFFFFFF
            while self.rng.random() < gaps:
                await ctx.tick()
        self.over = True


@pytest.mark.parametrize("seed", range(4))
def test_queries_side_by_side(seed: int) -> None:
    """Results out of order, entries of all kinds between, errors charged to their query."""
    rng = random.Random(seed)
    spoilt = {RESULTS + 128 * rng.randrange(40) + 64 * rng.randrange(2) for _ in range(8)}
    config = (TINY, WIDE)[seed % 2]
    host = Host(config, size=(8, 32)[seed // 2], stall=(0.1, 0.5)[seed % 2], write_errors=spoilt)
    host.pace = (0.7, 0.1, 0.8, 0.3)[seed]
    traffic = Traffic(host, count=40, seed=seed)

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 0, 1)
        host.completed = host.failed = 0
        await traffic.check(ctx, gaps=(0.0, 0.9)[seed % 2])

    host.run(bench, traffic.submit)
    assert host.most_at_work >= (4, 8)[seed // 2], "queries did not run side by side"
    assert host.completed == len(traffic.want)
    assert host.failed == sum(status != Status.OK for status in traffic.want)
    assert host.ends == sum(entry["opcode"] == Opcode.QUERY for entry in traffic.entries)


async def cancel(ctx: Any, host: Host, tag: int) -> bool:
    """Cancel a query; returns whether it was found."""
    front = host.front
    ctx.set(front.cancel_tag, tag)
    ctx.set(front.cancel, 1)
    await ctx.tick()
    ctx.set(front.cancel, 0)
    await ctx.tick()
    if ctx.get(front.cancel_pending):
        await ctx.tick().until(~front.cancel_pending)
    found, unknown = ctx.get(front.cancel_found), ctx.get(front.cancel_unknown)
    assert found != unknown
    return bool(found)


@pytest.mark.parametrize("seed", range(3))
def test_cancel_among_others(seed: int) -> None:
    """Cancels at any time: those that were found end as cancelled, and nobody else."""
    rng = random.Random(40 + seed)
    host = Host(TINY, size=(16, 8, 32)[seed], stall=0.1)
    host.pace = (0.5, 0.2, 0.7)[seed]
    traffic = Traffic(host, count=40, seed=seed)
    found: set[int] = set()
    unknown = 0

    async def cancels(ctx: Any) -> None:
        nonlocal unknown
        while not traffic.started:
            await ctx.tick()
        while not traffic.over:
            await ctx.tick().repeat(rng.randrange(1, 20))
            # Most tags are near the entries at work, some are of none.
            tag = host.completed - 1 + rng.randrange(-1, 9) if rng.random() < 0.9 else 12345
            if tag in found:
                continue
            if await cancel(ctx, host, tag):
                found.add(tag)
            else:
                unknown += 1

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 0, 1)
        await traffic.check(ctx)

    host.run(bench, traffic.submit, cancels)
    # One that the core refused keeps that status, unless it was cancelled before the core saw it.
    ran = {tag for tag in found if traffic.want[tag] != Status.BAD_PIPELINE}
    assert ran <= set(traffic.cancelled) <= found
    assert len(found) > 2 and unknown > 2
    assert host.failed == sum(
        status != Status.OK or tag in traffic.cancelled for tag, status in enumerate(traffic.want)
    )


def test_cancel_before_an_entry_begins_and_of_nobody() -> None:
    host = Host(TINY)
    host.answers = {i: ([(i, i)], Status.OK) for i in range(3)}
    query = {
        "opcode": Opcode.QUERY, "pipeline": 0, "address": RECORDS, "result": RESULTS,
        "items": 4, "keep": [1, 0, 0, 0],
    }  # fmt: skip

    async def bench(ctx: Any) -> None:
        front = host.front
        await host.load_pipeline(ctx, 0, 1)
        assert not await cancel(ctx, host, 7)  # an idle device
        ctx.set(front.hold, 1)
        for tag in (5, 6, 7):
            host.submit(ctx, tag=tag, **query)
        ctx.set(front.cancel_tag, 6)
        ctx.set(front.cancel, 1)
        await ctx.tick()
        ctx.set(front.cancel, 0)
        await ctx.tick().repeat(300)
        assert ctx.get(front.cancel_pending)
        host.submit(ctx, tag=6, **query)  # behind the cancel: not meant
        ctx.set(front.hold, 0)
        for tag, status in ((5, 0), (6, Status.CANCELLED), (7, 0), (6, 0)):
            done = await host.completion(ctx)
            assert (done.tag, done.status, done.count) == (tag, status, int(not status))
        assert ctx.get(front.cancel_found) and not ctx.get(front.cancel_unknown)
        assert not await cancel(ctx, host, 6)  # all are completed

    host.run(bench)
    assert len(host.queries) == 3


def test_one_query_at_a_time_where_the_host_filters() -> None:
    host = Host(replace(TINY, features=Features(on_chip_filter=False)), size=32)
    traffic = Traffic(host, count=24, seed=5)

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 0, 1)
        await traffic.check(ctx)

    host.run(bench, traffic.submit)
    assert host.most_at_work == 1


def test_full_completion_ring_does_not_hold_up_results() -> None:
    """Eight queries at work end and write while the host reads nothing."""
    host = Host(TINY, size=16)
    answers = [[(10 * q + i, q) for i in range(9)] for q in range(10)]
    host.answers = {q: (results, Status.OK) for q, results in enumerate(answers)}

    def written(q: int) -> bool:
        return host.load(RESULTS + 128 * q + 64, 8) == q << 32 | 10 * q + 8

    async def bench(ctx: Any) -> None:
        front = host.front
        await host.load_pipeline(ctx, 0, 1)
        ctx.set(front.completion_head, 2)  # one behind the tail: full
        for q in range(10):
            host.submit(
                ctx, tag=q, opcode=Opcode.QUERY, pipeline=0, address=RECORDS,
                result=RESULTS + 128 * q, items=16, keep=[9, 0, 0, 0],
            )  # fmt: skip
        await ctx.tick().repeat(2000)
        assert ctx.get(front.completion_full) and host.ends == 0
        assert [written(q) for q in range(10)] == [True] * 8 + [False] * 2
        ctx.set(front.completion_head, 1)
        for q in range(10):
            done = await host.completion(ctx)
            assert (done.tag, done.status, done.count) == (q, Status.OK, 9)
            assert written(q)

    host.run(bench)


def test_soft_reset_with_queries_at_work() -> None:
    """Whatever was under way, later entries are as after power-on."""
    host = Host(TINY, size=16)
    rng = random.Random(3)
    query = {
        "opcode": Opcode.QUERY, "pipeline": 0, "address": RECORDS, "result": RESULTS,
        "items": 16, "keep": [12, 0, 0, 0],
    }  # fmt: skip
    results = [(i, -i) for i in range(12)]

    async def bench(ctx: Any) -> None:
        await host.load_pipeline(ctx, 0, 1)
        for turn in range(4):
            seen = len(host.queries)
            host.answers = {seen + i: (results, Status.OK) for i in range(15)}
            for tag in range(12):
                host.submit(ctx, tag=tag, **query)
            await ctx.tick().repeat(rng.randrange(20, 700))
            await host.soft_reset(ctx)
            assert not ctx.get(host.front.busy)
            assert not ctx.get(host.front.submission_head) | ctx.get(host.front.completion_tail)
            await host.load_pipeline(ctx, 0, 1)
            host.answers = {len(host.queries) + i: (results, Status.OK) for i in range(3)}
            for tag in range(3):
                host.submit(ctx, tag=1000 * turn + tag, **query)
            for tag in range(3):
                done = await host.completion(ctx)
                assert (done.tag, done.status, done.count) == (1000 * turn + tag, Status.OK, 12)

    host.run(bench)
    assert host.most_at_work == 8


def test_entries_wait_for_a_change_of_partition() -> None:
    host = Host(TINY)
    host.answers = {0: ([(1, 1)], Status.OK)}
    query = {
        "opcode": Opcode.QUERY, "pipeline": 0, "address": RECORDS, "result": RESULTS,
        "items": 4, "keep": [1, 0, 0, 0],
    }  # fmt: skip

    async def bench(ctx: Any) -> None:
        front = host.front
        await host.load_pipeline(ctx, 0, 1)
        loaded = len(host.loads)
        ctx.set(front.hold, 1)
        host.submit(ctx, opcode=Opcode.LOAD, items=4, target=Target.LAYERS)
        for _ in range(300):
            assert not ctx.get(front.starting)
            await ctx.tick()
        assert len(host.loads) == loaded and not host.completed > 1
        ctx.set(front.hold, 0)
        assert (await host.completion(ctx)).status == Status.OK
        assert len(host.loads) == loaded + 4
        # From its check until the core has it, a query counts as starting.
        host.submit(ctx, **query)
        await ctx.tick().until(front.starting)
        taken = 0
        while not taken:
            _, _, taken, starting = await ctx.tick().sample(
                front.o_query.valid & front.o_query.ready, front.starting
            )
            assert starting
        assert not ctx.get(front.starting)
        assert (await host.completion(ctx)).status == Status.OK

    host.run(bench)


def test_queries_are_refused_after_an_illegal_partition() -> None:
    host = Host(TINY)
    host.answers = {0: ([(1, 1)], Status.OK)}
    query = {
        "opcode": Opcode.QUERY, "pipeline": 0, "address": RECORDS, "result": RESULTS,
        "items": 4, "keep": [1, 0, 0, 0],
    }  # fmt: skip

    async def bench(ctx: Any) -> None:
        ctx.set(host.front.partition_bad, 1)
        await host.load_pipeline(ctx, 0, 1)  # LOADs go on
        done = await host.do(ctx, **query)
        assert (done.status, done.count) == (Status.BAD_PARTITION, 0)
        ctx.set(host.front.partition_bad, 0)
        assert (await host.do(ctx, **query)).status == Status.OK

    host.run(bench)
    assert len(host.queries) == 1


def test_failed_completion_write_raises_the_error_event() -> None:
    host = Host(TINY, write_errors={COMPLETIONS})

    async def bench(ctx: Any) -> None:
        await host.do(ctx, opcode=Opcode.NOP)
        await host.do(ctx, opcode=Opcode.NOP)

    host.run(bench)
    assert (host.completed, host.failed) == (2, 1)
