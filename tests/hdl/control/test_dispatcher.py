"""The dispatcher with fake engines: partitions, errors, order of the results."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.control.dispatcher import Dispatcher
from hdl.program import Status
from tests.hdl.control.dispatcher_bench import Bench, Query, Stage, model
from tests.hdl.support import simulate


def host_filters(name: str) -> Config:
    """The preset with its cuts, but without a filter."""
    config = preset(name)
    return replace(config, features=replace(config.features, on_chip_filter=False))


TINY = host_filters("tiny")
SMALL = host_filters("small")
BASELINE = preset("tiny-baseline")
SPLIT = {"levels": [0] * 4, "engine_stages": [15] * 4}
FUSED = {"levels": [1] * 4, "engine_stages": [15] * 4}
BLOCKS, SHORT = [Stage(program=1, rows=16)], [Stage(program=6, rows=5)]


def score(program: int, item: int) -> int:
    """A fixed hash with many ties."""
    return (item * 7919 + program * 104729) % 61 * 1000 - 30000


def bench(**options: Any) -> Bench:
    settings = {"config": TINY, "pipelines": {2: BLOCKS, 0: SHORT}, "score": score, **SPLIT}
    return Bench(**{**settings, **options})


def check(test: Bench, query: Query, answer: Any) -> None:
    (stage,) = test.pipelines[query.pipeline]
    assert answer.results == model(stage, query.items, test.score)
    assert answer.status == Status.OK
    assert answer.count == query.items
    assert [cycles > 0 for cycles in answer.stage_cycles] == [True, False, False, False]


@pytest.mark.parametrize(("config", "partition"), [(TINY, SPLIT), (TINY, FUSED), (BASELINE, FUSED)])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_all_scores_are_returned_in_order_of_positions(
    config: Config, partition: dict[str, Any], stall: float
) -> None:
    test = bench(config=config, stall=stall, **partition)
    queries = [Query(2, 150), Query(0, 33), Query(2, 1)]
    for query, answer in zip(queries, test.run(queries), strict=True):
        check(test, query, answer)


def test_jobs_are_row_blocks_in_order() -> None:
    test = bench(**FUSED)
    test.run([Query(2, 50), Query(0, 12)])
    got = [(j.program, j.features, j.position, j.rows, j.unit) for j in test.jobs]
    first = [(1, 5, position, min(16, 50 - position), 0) for position in range(0, 50, 16)]
    second = [(6, 5, position, min(5, 12 - position), 0) for position in range(0, 12, 5)]
    assert got == first + second


def test_engines_of_the_stage_in_turn() -> None:
    """Sub-arrays 0, 1 and 3 take stage 0."""
    test = bench(engine_stages=[0b01, 0b01, 0b10, 0b11])
    query = Query(2, 200)
    check(test, query, test.run([query])[0])
    assert [j.unit for j in test.jobs][:6] == [0, 1, 3, 0, 1, 3]


def test_mixed_partition_of_a_larger_grid() -> None:
    """Upper left quarter fused, the rest single: only anchors get jobs (the bench checks)."""
    levels = [1 if row < 2 and column < 2 else 0 for row in range(4) for column in range(4)]
    test = bench(config=SMALL, levels=levels, engine_stages=[15] * 16)
    query = Query(2, 400)
    check(test, query, test.run([query])[0])
    assert {job.unit for job in test.jobs} == {0, 2, 3, 6, 7, *range(8, 16)}


def test_a_query_needs_its_engines_until_its_jobs_are_sent() -> None:
    """And keeps the engines it was checked with, though others change meanwhile."""
    seen: list[int] = []

    async def watch(ctx: Any, test: Bench) -> None:
        dut = test.dut
        await ctx.tick().until(dut.i_query.valid & dut.i_query.ready)
        while not test.finished:
            needed = ctx.get(dut.needed)
            if not seen or needed != seen[-1]:
                seen.append(needed)
            if needed == 0b0011:
                ctx.set(dut.engine_stages, [0, 0, 1, 1])  # the query after it would use these
            await ctx.tick()

    test = bench(engine_stages=[0b01, 0b01, 0b10, 0b10], watch=watch)
    queries = [Query(2, 100)]
    check(test, queries[0], test.run(queries)[0])
    assert seen == [0b1111, 0b0011, 0]
    assert {j.unit for j in test.jobs} == {0, 1}


def test_max_items() -> None:
    test = bench(config=replace(TINY, max_items=64))
    query = Query(2, 64)
    check(test, query, test.run([query])[0])


BAD_QUERIES = [
    (Query(1, 10), Status.BAD_PIPELINE),  # not loaded
    (Query(10, 10), Status.BAD_PIPELINE),  # 2 beyond the table
    (Query(3, 10), Status.BAD_PIPELINE),  # two stages
    (Query(4, 10), Status.BAD_PIPELINE),  # empty row blocks
    (Query(5, 10), Status.BAD_PIPELINE),  # row blocks larger than the slots
    (Query(2, 0), Status.BAD_SIZE),
    (Query(2, 1025), Status.BAD_SIZE),
    (Query(2, 10 + (1 << 20)), Status.BAD_SIZE),
]


def test_bad_queries_are_refused_and_leave_the_next_one_unharmed() -> None:
    pipelines = {
        2: BLOCKS,
        3: [Stage(program=0, rows=4)] * 2,
        4: [Stage(program=0, rows=0)],
        5: [Stage(program=0, rows=17)],
    }
    test = bench(pipelines=pipelines, engine_stages=[0b0001, 0b1011, 0, 0])
    good = Query(2, 10)
    queries = [query for query, _ in BAD_QUERIES]
    queries.insert(5, good)  # after the last BAD_PIPELINE
    queries.append(good)
    answers = test.run(queries)
    check(test, good, answers.pop(5))
    check(test, good, answers.pop())
    for (query, status), answer in zip(BAD_QUERIES, answers, strict=True):
        assert (query, answer.status) == (query, status)
        assert answer.count == 0 and answer.results == [] and not any(answer.stage_cycles)


@pytest.mark.parametrize("stages", [[0b10, 0b11, 0b11, 0b11], [0, 0, 0, 0]])
def test_without_an_engine_of_the_stage_a_query_is_refused(stages: list[int]) -> None:
    """The masks of sub-arrays that are no anchors do not count."""
    test = bench(levels=[1] * 4, engine_stages=stages)
    (answer,) = test.run([Query(2, 10)])
    assert answer.status == Status.BAD_PIPELINE


@pytest.mark.parametrize(
    ("pulses", "status"),
    [
        ({"bad_ids": 0}, Status.BAD_ID),
        ({"bus_errors": 2}, Status.BUS_ERROR),
        ({"bad_ids": 1, "bus_errors": 0}, Status.BUS_ERROR),
    ],
)
def test_errors_during_a_run_set_the_status(pulses: dict[str, int], status: Status) -> None:
    test = bench(pulses=pulses)
    query = Query(2, 40)
    failed, good = test.run([query, query])
    check(test, query, good)
    assert failed.status == status
    assert failed.results == good.results and failed.count == good.count


def test_item_scores_of_all_kinds() -> None:
    """Random scores over the whole range, many short queries."""
    rng = random.Random(7)
    table = {(p, i): rng.randint(-32768, 32767) for p in (1, 6) for i in range(120)}
    test = bench(score=lambda p, i: table[p, i])
    queries = [Query(rng.choice((0, 2)), rng.randint(1, 120)) for _ in range(5)]
    for query, answer in zip(queries, test.run(queries), strict=True):
        check(test, query, answer)


def test_stated_latency_from_query_to_first_job() -> None:
    test = bench()
    dut = Dispatcher(config=TINY)
    test.dut = dut

    async def run(ctx: Any) -> None:
        ctx.set(dut.levels, [0] * 4)
        ctx.set(dut.engine_stages, [15] * 4)
        ctx.set(dut.free, 15)
        await test.load(ctx, 2, BLOCKS)
        await ctx.tick().repeat(3)
        ctx.set(dut.i_query.payload, {"pipeline": 2, "items": 9})
        ctx.set(dut.i_query.valid, 1)
        await ctx.tick().until(dut.i_query.ready)
        ctx.set(dut.i_query.valid, 0)
        cycles = 1  # the cycle after the one in which the query was taken
        while not ctx.get(dut.o_engine_job.valid):
            cycles += 1
            await ctx.tick()
        assert cycles == Dispatcher.CHECK_CYCLES + 1 + 5

    simulate(dut, run, cycles=1_000)
