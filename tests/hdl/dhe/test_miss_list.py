# amaranth: UnusedElaboratable=no
"""Miss list: hits as the plan says, misses in order without gaps, an id a cycle."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from driver.result_plan import choose_results
from hdl.config import preset
from hdl.dhe.layouts import RESULT_TAG
from hdl.dhe.miss_list import MissList
from hdl.dhe.result_tags import ResultTags
from hdl.words import pack
from tests.hdl.support import simulate

SEEDS = (0, 0x2A5, 0x1F)
DECODERS = ((64, 16), (64, 32, 16), (64, 16))
ROWS = (50, 60, 5000)


@pytest.mark.parametrize(("sets", "ways"), [(1, 1), (8, 2), (16, 4), (64, 8), (32, 1)])
def test_lists(sets: int, ways: int) -> None:
    config = replace(preset("tiny"), held_bytes=8192)
    random = np.random.default_rng(sets)
    dut = MissList(config=config, sets=sets, ways=ways)
    counts = [np.bincount(random.integers(0, n, 300) // 3, minlength=n) for n in ROWS]
    plan = choose_results(
        counts, DECODERS, tables=(3, 4, 70), seeds=SEEDS, sets=sets, ways=ways
    )  # fmt: skip
    blocks = []
    for number in range(12):
        feature = number % 3
        ids = random.integers(0, ROWS[feature] // 3 + 2, random.integers(1, 17))
        blocks.append((number & 1, feature, (3, 4, 70)[feature], ids.astype(int).tolist()))
    outcomes: list[tuple[int, ...]] = []
    asked: list[tuple[int, int, int]] = []

    async def bench(ctx: Any) -> None:
        for (table, id_), place in plan.places.items():
            word = pack(RESULT_TAG, {"valid": 1, "table": table, "id": id_})
            ctx.set(dut.write, {"valid": 1, "address": place, "data": word})
            await ctx.tick()
        ctx.set(dut.write.valid, 0)
        for slot, feature, table, ids in blocks:
            missed = [x for x in ids if (table, x) not in plan.places]
            job = {"slot": slot, "feature": feature, "table": table, "seed": SEEDS[feature]}
            used = {"log2_sets": sets.bit_length() - 1, "held": 1}
            ctx.set(dut.i.payload, job | used | {"rows": len(ids)})
            ctx.set(dut.i.valid, 1)
            await ctx.tick().until(dut.i.ready)
            ctx.set(dut.i.valid, 0)
            cycles = 1
            while not ctx.get(dut.done):
                await ctx.tick()
                cycles += 1
            assert cycles == len(ids) + 5
            assert (ctx.get(dut.done_slot), ctx.get(dut.misses)) == (slot, len(missed))
            for row, expected in enumerate(missed):
                ctx.set(dut.slot, slot)
                ctx.set(dut.row, row)
                await ctx.tick()
                assert ctx.get(dut.listed) == expected
            await ctx.tick()

    async def store(ctx: Any) -> None:
        """The id store: knows the block at work by its number of jobs done."""
        done = 0
        async for sample in ctx.tick().sample(dut.id_row, dut.id_slot, dut.done, dut.placed):
            row, slot, ended, placed = sample[2:]
            if placed.valid:
                outcomes.append((done, placed.slot, placed.row, placed.hit, placed.place))
            done += ended
            if done < len(blocks):
                ids = blocks[done][3]
                ctx.set(dut.id, ids[row % len(ids)])
                asked.append((done, slot, row))

    simulate(dut, bench, background=[store])
    expected: list[Any] = []
    for number, (slot, _, table, ids) in enumerate(blocks):
        misses = 0
        for row, x in enumerate(ids):
            place = plan.places.get((table, x))
            expected.append(
                (number, slot, row, place is not None, misses if place is None else place)
            )
            misses += place is None
    assert outcomes == expected
    hits = sum(entry[3] for entry in expected)
    assert hits < len(expected) and (hits > 0 or sets * ways == 1)


def test_plan_takes_what_saves_most() -> None:
    """Feature 1's decoder is the larger one; a full set takes no more."""
    counts: list[Any] = [np.zeros(8, np.int64) for _ in range(3)]
    counts[0][[1, 3]] = [10, 9]
    counts[1][5] = 8
    counts[2][2] = 7
    plan = choose_results(counts, DECODERS, tables=(0, 1, 2), seeds=(0, 0, 0), sets=2, ways=2)
    assert plan.places == {(1, 5): 2, (0, 1): 3, (2, 2): 0}
    without = choose_results(
        [counts[0], None, counts[2]], DECODERS, tables=(0, 1, 2), seeds=(0, 0, 0), sets=2, ways=2
    )  # fmt: skip
    assert without.places == {(0, 1): 2, (0, 3): 3, (2, 2): 0}


@pytest.mark.parametrize(("sets", "ways"), [(3, 2), (0, 2), (1 << 16, 2), (4, 3)])
def test_bad_sizes(sets: int, ways: int) -> None:
    with pytest.raises(ValueError, match="must be"):
        ResultTags(sets=sets, ways=ways)
