# amaranth: UnusedElaboratable=no
"""Round robin: one-hot, fair, follows the requests of the same cycle."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.bus.round_robin import RoundRobin

from ..support import simulate


@pytest.mark.parametrize("count", [1, 2, 5])
def test_against_model(count: int) -> None:
    dut = RoundRobin(count=count)
    rng = random.Random(count)

    async def bench(ctx: Any) -> None:
        last = count - 1
        for _ in range(300):
            requests = rng.getrandbits(count)
            advance = rng.random() < 0.7
            ctx.set(dut.requests, requests)
            ctx.set(dut.advance, advance)
            order = [(last + 1 + i) % count for i in range(count)]
            chosen = next((i for i in order if requests >> i & 1), None)
            assert ctx.get(dut.grant) == (0 if chosen is None else 1 << chosen)
            if advance and chosen is not None:
                last = chosen
            await ctx.tick()

    simulate(dut, bench)


def test_bad_count() -> None:
    with pytest.raises(ValueError, match="count must be an integer of at least 1, not 0"):
        RoundRobin(count=0)
