"""Places of queries: when all bursts of the oldest one are answered, on any number of channels."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import PRESETS
from hdl.control.query_places import QueryPlaces, queries_at_once

from ..support import simulate

TINY = PRESETS["tiny"]


@pytest.mark.parametrize("channels", [1, 2, 4])
def test_written_follows_the_answers(channels: int) -> None:
    dut: Any = QueryPlaces(config=replace(TINY, axi_channels=channels))
    queries = queries_at_once(TINY)
    rng = random.Random(channels)

    async def bench(ctx: Any) -> None:
        waiting: list[list[int]] = [[] for _ in range(channels)]  # queries of bursts on the way
        written, seen = True, set()
        for _ in range(3000):
            assert ctx.get(dut.written) == written
            seen.add(written)
            for channel, bursts in enumerate(waiting):
                answered = bool(bursts) and rng.random() < 0.35
                query = bursts.pop(0) if answered else 0
                ctx.set(dut.answers[channel], {"valid": answered, "error": 0, "query": query})
            asked, query = rng.random() < 0.25, rng.randrange(queries)
            asked = asked and sum(map(len, waiting)) < 16
            ctx.set(dut.asked, asked)
            ctx.set(dut.asked_query, query)
            if asked:
                rng.choice(waiting).append(query)
            written = not any(0 in bursts for bursts in waiting)
            await ctx.tick()
        assert seen == {False, True}

    simulate(dut, bench)
