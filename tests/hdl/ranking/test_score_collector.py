# amaranth: UnusedElaboratable=no
"""The score collector: nothing lost, order per input, fair, as fast as stated."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import preset
from hdl.ranking.score_collector import ScoreCollector, StreamMerge
from tests.hdl.support import PATTERNS, get_all, put_all, simulate

CONFIG = preset("tiny")


def collector(grid: int) -> ScoreCollector:
    lanes = min(grid**2, CONFIG.filter_lanes)
    config = replace(CONFIG, grid=grid, dot_multipliers=4 * grid**2, filter_lanes=lanes)
    return ScoreCollector(config=config)


@pytest.mark.parametrize("grid", [1, 2, 4])
@pytest.mark.parametrize("stall", PATTERNS)
def test_all_scores_arrive_in_order_of_each_input(grid: int, stall: str) -> None:
    dut = collector(grid)
    rng = random.Random(grid)
    each = 96 // grid**2
    sent = [
        [(unit * each + index, rng.randint(-32768, 32767)) for index in range(each)]
        for unit in range(grid**2)
    ]
    got: list[tuple[int, int]] = []

    def sender(unit: int) -> Any:
        async def send(ctx: Any) -> None:
            values = [{"position": p, "score": s} for p, s in sent[unit]]
            await put_all(ctx, dut.i[unit], values, stall=PATTERNS[stall], seed=unit)

        return send

    async def receive(ctx: Any) -> None:
        values = await get_all(ctx, dut.o, each * grid**2, stall=PATTERNS[stall], seed=99)
        got.extend((value.position, value.score) for value in values)

    simulate(dut, *(sender(unit) for unit in range(grid**2)), receive, cycles=5_000)
    for unit, values in enumerate(sent):
        assert [value for value in got if value[0] // each == unit] == values


def test_one_a_cycle_and_fair_under_load() -> None:
    dut = collector(4)
    counts = [0] * 16

    async def bench(ctx: Any) -> None:
        for unit in range(16):
            ctx.set(dut.i[unit].payload, {"position": unit, "score": 0})
            ctx.set(dut.i[unit].valid, 1)
        ctx.set(dut.o.ready, 1)
        await ctx.tick().repeat(2)  # latency of two levels
        for _ in range(160):
            assert ctx.get(dut.o.valid)
            counts[ctx.get(dut.o.payload.position)] += 1
            await ctx.tick()

    simulate(dut, bench)
    assert counts == [10] * 16


def test_bad_number_of_inputs_is_quoted() -> None:
    with pytest.raises(ValueError, match="not 9"):
        StreamMerge(shape=8, inputs=9)
