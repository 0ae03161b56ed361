"""The dispatcher with fake engines: stages, partitions, errors."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import preset
from hdl.control.dispatcher import Dispatcher
from hdl.program import Status
from tests.hdl.control.dispatcher_bench import Bench, Query, Stage, model
from tests.hdl.support import simulate

TINY = preset("tiny")
SMALL = preset("small")
SPLIT = {"levels": [0] * 4, "engine_stages": [15] * 4}
FUSED = {"levels": [1] * 4, "engine_stages": [15] * 4}
TWO_STAGES = [Stage(program=1, rows=16), Stage(program=6, rows=5)]


def score(program: int, item: int) -> int:
    """A fixed hash with many ties."""
    return (item * 7919 + program * 104729) % 61 * 1000 - 30000


def bench(**options: Any) -> Bench:
    settings = {"config": TINY, "pipelines": {2: TWO_STAGES}, "score": score, **SPLIT}
    return Bench(**{**settings, **options})


def check(test: Bench, query: Query, answer: Any) -> None:
    stages = test.pipelines[query.pipeline]
    expected = model(stages, query.items, query.keep, test.score)
    assert answer.results == expected
    assert answer.status == Status.OK
    assert answer.count == len(expected) == query.keep[len(stages) - 1]
    assert [cycles > 0 for cycles in answer.stage_cycles] == [i < len(stages) for i in range(4)]


@pytest.mark.parametrize("partition", [SPLIT, FUSED])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_two_stages_and_two_queries(partition: dict[str, Any], stall: float) -> None:
    test = bench(stall=stall, **partition)
    queries = [Query(2, 150, [40, 9, 0, 0]), Query(2, 33, [33, 33, 0, 0])]
    for query, answer in zip(queries, test.run(queries), strict=True):
        check(test, query, answer)


def test_jobs_are_row_blocks_in_order() -> None:
    test = bench(**FUSED)
    test.run([Query(2, 50, [12, 3, 0, 0])])
    got = [(j.program, j.features, j.position, j.rows, j.unit) for j in test.jobs]
    first = [(1, 5, position, min(16, 50 - position), 0) for position in range(0, 50, 16)]
    second = [(6, 5, position, min(5, 12 - position), 0) for position in range(0, 12, 5)]
    assert got == first + second


def test_engines_serve_their_stages_in_turn() -> None:
    """Sub-arrays 0, 1 and 3 take stage 0, 2 and 3 take stage 1."""
    test = bench(engine_stages=[0b01, 0b01, 0b10, 0b11])
    query = Query(2, 200, [60, 10, 0, 0])
    check(test, query, test.run([query])[0])
    used = {p: [j.unit for j in test.jobs if j.program == p] for p in (1, 6)}
    assert used[1][:6] == [0, 1, 3, 0, 1, 3]
    assert set(used[6]) == {2, 3}


def test_mixed_partition_of_a_larger_grid() -> None:
    """Upper left quarter fused, the rest single: only anchors get jobs (the bench checks)."""
    levels = [1 if row < 2 and column < 2 else 0 for row in range(4) for column in range(4)]
    test = bench(config=SMALL, levels=levels, engine_stages=[15] * 16)
    query = Query(2, 400, [70, 20, 0, 0])
    check(test, query, test.run([query])[0])
    assert {job.unit for job in test.jobs} == {0, 2, 3, 6, 7, *range(8, 16)}


def test_a_query_needs_the_engines_of_its_stages_until_its_jobs_are_sent() -> None:
    """And keeps the engines it was checked with, though others change meanwhile."""
    seen: list[int] = []

    async def watch(ctx: Any, test: Bench) -> None:
        dut = test.dut
        await ctx.tick().until(dut.i_query.valid & dut.i_query.ready)
        changed = False
        while not test.finished:
            needed = ctx.get(dut.needed)
            if not seen or needed != seen[-1]:
                seen.append(needed)
            if needed == 0b1100 and not changed:
                # Stage 0 is sent: its engines would now serve stage 1 too, and one of stage 1 none.
                ctx.set(dut.engine_stages, [0b10, 0b10, 0b10, 0])
                changed = True
            await ctx.tick()

    test = bench(engine_stages=[0b01, 0b01, 0b10, 0b10], watch=watch)
    queries = [Query(2, 100, [60, 10, 0, 0])]
    check(test, queries[0], test.run(queries)[0])
    assert seen == [0b1111, 0b1100, 0]
    assert {j.unit for j in test.jobs if j.program == 6} == {2, 3}


def test_four_stages_and_one_item() -> None:
    stages = [Stage(program=p, rows=r) for p, r in enumerate((16, 7, 3, 1))]
    test = bench(pipelines={7: stages, 0: stages[:1]})
    queries = [
        Query(7, 90, [50, 20, 20, 4]),
        Query(7, 1, [1, 1, 1, 1]),
        Query(0, 20, [1, 0, 0, 0]),
    ]
    for query, answer in zip(queries, test.run(queries), strict=True):
        check(test, query, answer)


def test_max_items() -> None:
    config = replace(TINY, max_items=64)
    test = bench(config=config, pipelines={0: [Stage(program=0, rows=16)]})
    query = Query(0, 64, [64, 0, 0, 0])
    check(test, query, test.run([query])[0])


BAD_QUERIES = [
    (Query(1, 10, [5, 5, 0, 0]), Status.BAD_PIPELINE),  # not loaded
    (Query(10, 10, [5, 5, 0, 0]), Status.BAD_PIPELINE),  # 2 beyond the table
    (Query(3, 10, [5, 5, 5, 5]), Status.BAD_PIPELINE),  # five stages
    (Query(4, 10, [5, 0, 0, 0]), Status.BAD_PIPELINE),  # empty row blocks
    (Query(5, 10, [5, 0, 0, 0]), Status.BAD_PIPELINE),  # row blocks larger than the slots
    (Query(6, 10, [5, 5, 5, 0]), Status.BAD_PIPELINE),  # nobody serves stage 2
    (Query(2, 0, [5, 5, 0, 0]), Status.BAD_SIZE),
    (Query(2, 1025, [5, 5, 0, 0]), Status.BAD_SIZE),
    (Query(2, 10 + (1 << 20), [5, 5, 0, 0]), Status.BAD_SIZE),
    (Query(2, 10, [0, 5, 0, 0]), Status.BAD_SIZE),
    (Query(2, 10, [11, 5, 0, 0]), Status.BAD_SIZE),
    (Query(2, 10, [5, 0, 0, 0]), Status.BAD_SIZE),
    (Query(2, 10, [5, 6, 0, 0]), Status.BAD_SIZE),
    (Query(2, 10, [5, 5 + (1 << 16), 0, 0]), Status.BAD_SIZE),
]


def test_bad_queries_are_refused_and_leave_the_next_one_unharmed() -> None:
    pipelines = {
        2: TWO_STAGES,
        3: [Stage(program=0, rows=4)] * 5,
        4: [Stage(program=0, rows=0)],
        5: [Stage(program=0, rows=17)],
        6: [Stage(program=0, rows=4)] * 3,
    }
    test = bench(pipelines=pipelines, engine_stages=[0b0001, 0b1011, 0, 0])
    good = Query(2, 10, [5, 5, 0, 0])
    queries = [query for query, _ in BAD_QUERIES]
    queries.insert(6, good)  # after the last BAD_PIPELINE
    queries.append(good)
    answers = test.run(queries)
    check(test, good, answers.pop(6))
    check(test, good, answers.pop())
    for (query, status), answer in zip(BAD_QUERIES, answers, strict=True):
        assert (query, answer.status) == (query, status)
        assert answer.count == 0 and answer.results == [] and not any(answer.stage_cycles)


def test_stage_mask_of_a_sub_array_that_is_no_anchor_does_not_count() -> None:
    test = bench(levels=[1] * 4, engine_stages=[0b01, 0b11, 0b11, 0b11])
    (answer,) = test.run([Query(2, 10, [5, 5, 0, 0])])
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
    query = Query(2, 40, [20, 5, 0, 0])
    failed, good = test.run([query, query])
    check(test, query, good)
    assert failed.status == status
    assert failed.results == good.results and failed.count == good.count


def test_baseline_returns_all_scores_in_order_of_positions() -> None:
    config = preset("tiny-baseline")
    one, two = [Stage(program=3, rows=16)], TWO_STAGES
    test = bench(config=config, pipelines={0: one, 1: two}, **FUSED)
    queries = [Query(0, 50, [0, 0, 0, 0]), Query(1, 9, [9, 9, 0, 0]), Query(0, 1, [7, 0, 0, 0])]
    answers = test.run(queries)
    for index, n in ((0, 50), (2, 1)):
        expected = [(item, score(3, item), int(item == n - 1)) for item in range(n)]
        assert answers[index].results == expected
        assert (answers[index].status, answers[index].count) == (Status.OK, n)
    assert answers[1].status == Status.BAD_PIPELINE


def test_fission_without_the_filter_returns_scores_in_order_too() -> None:
    config = replace(TINY, features=replace(TINY.features, on_chip_filter=False))
    test = bench(config=config, pipelines={0: [Stage(program=3, rows=4)]}, stall=0.5)
    (answer,) = test.run([Query(0, 50, [1, 0, 0, 0])])
    assert answer.results == [(item, score(3, item), int(item == 49)) for item in range(50)]


def test_item_scores_of_all_kinds() -> None:
    """Random scores over the whole range, many short queries."""
    rng = random.Random(7)
    table = {(p, i): rng.randint(-32768, 32767) for p in (1, 6) for i in range(120)}
    test = bench(score=lambda p, i: table[p, i])
    queries = []
    for _ in range(3):
        n = rng.randint(1, 120)
        k = rng.randint(1, n)
        queries.append(Query(2, n, [k, rng.randint(1, k), 0, 0]))
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
        await test.load(ctx, 2, TWO_STAGES)
        await ctx.tick().repeat(300)  # the filter has cleared its histogram
        ctx.set(dut.i_query.payload, {"pipeline": 2, "items": 9, "keep": [9, 9, 0, 0]})
        ctx.set(dut.i_query.valid, 1)
        await ctx.tick().until(dut.i_query.ready)
        ctx.set(dut.i_query.valid, 0)
        cycles = 1  # the cycle after the one in which the query was taken
        while not ctx.get(dut.o_engine_job.valid):
            cycles += 1
            await ctx.tick()
        assert cycles == Dispatcher.CHECK_CYCLES + len(TWO_STAGES) + 5

    simulate(dut, run, cycles=1_000)
