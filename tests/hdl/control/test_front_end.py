# amaranth: UnusedElaboratable=no
"""Front end with real bus units, memory models and a fake dispatcher."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import PRESETS, Config
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
    """The widths that the fake dispatcher relies on."""
    assert query_layout(TINY).size == 8 + 32 + 128 + 40
    assert query_done_layout(TINY).size == 8 + 32 + 128
    assert result_layout(TINY).size == 65
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
            assert (done.lookups, done.hits, done.look_ahead_hits, done.misses) == (7, 5, 3, 2)
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
        (Status.BAD_SIZE, load | {"items": 129}),
        (Status.BAD_SIZE, load | {"items": 64, "start": 65}),
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


def test_error_from_the_dispatcher() -> None:
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
        # A tail outside the ring is ignored.
        ctx.set(front.submission_tail, 100)
        await ctx.tick().repeat(50)
        assert not ctx.get(front.busy)

    host.run(bench)


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
        # From its check until the dispatcher has it, a query counts as starting.
        host.submit(ctx, **query)
        await ctx.tick().until(front.starting)
        while not ctx.get(front.o_query.valid & front.o_query.ready):
            assert ctx.get(front.starting)
            await ctx.tick()
        assert ctx.get(front.starting)
        await ctx.tick()
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
