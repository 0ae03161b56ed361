"""Prefetcher alone: no row behind the end of a list, whenever its rows are looked up."""

from __future__ import annotations

from typing import Any

import pytest

from hdl.config import preset
from hdl.control.prefetcher import Prefetcher
from tests.hdl.support import simulate

LISTED = 6
TAKEN = 10
"""Cycle in which the stage's last engine is taken: a little later the list is picked."""


@pytest.mark.parametrize("walked", range(TAKEN + 5))
def test_rows_are_looked_up_as_a_list_is_picked(walked: int) -> None:
    """Two more rows may be in any cycle: then none is far enough from them to be fetched ahead."""
    dut = Prefetcher(config=preset("tiny"))
    jobs: list[Any] = []

    async def stimulus(ctx: Any) -> None:
        ctx.set(dut.o.ready, 1)
        ctx.set(dut.flight, 1)
        ctx.set(dut.available, 1)
        ctx.set(dut.context, {"ahead": 20})
        ctx.set(dut.opened, 1)
        await ctx.tick()
        ctx.set(dut.opened, 0)
        ctx.set(dut.listed[0], LISTED)
        ctx.set(dut.walked[0], {"valid": 1, "context": 0})
        await ctx.tick()
        ctx.set(dut.walked[0].valid, 0)
        await ctx.tick().repeat(5)
        for cycle in range(TAKEN + 40):
            ctx.set(dut.available, cycle < TAKEN)
            ctx.set(dut.walked[0].valid, walked <= cycle < walked + 2)
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        async for _, _, valid, ready, job in ctx.tick().sample(
            dut.o.valid, dut.o.ready, dut.o.payload
        ):
            if valid and ready:
                jobs.append((job.position, job.rows))

    simulate(dut, stimulus, background=[watch])
    assert all(position + rows <= LISTED for position, rows in jobs), jobs
    # As soon as the row is picked it is fetched; afterwards the lookups are too close to it.
    assert len(jobs) <= 1
