# amaranth: UnusedElaboratable=no
"""Rows of outputs next to each other."""

from __future__ import annotations

import random
from typing import Any

import pytest

from hdl.engine.row_join import RowJoin, row_join_latency
from tests.hdl.support import simulate


@pytest.mark.parametrize("outputs", [64, 128])
def test_rows_join(outputs: int) -> None:
    dut = RowJoin(outputs=outputs)
    latency, rows = row_join_latency(outputs), outputs // 32
    rng = random.Random(outputs)
    firsts = [*range(0, 32 - rows + 1, rows)] * 2
    rng.shuffle(firsts)
    steps: list[tuple[bool, bool, int, list[int]]] = []
    for first in firsts:
        for joined in (True, rng.random() < 0.5):
            values = [rng.randrange(-128, 128) for _ in range(outputs)]
            steps.append((True, joined, first, values))
            steps += [(False, True, 5, [0] * outputs)] * rng.randrange(3)

    async def bench(ctx: Any) -> None:
        for cycle in range(len(steps) + latency):
            ctx.set(dut.valid, cycle < len(steps) and steps[cycle][0])
            if cycle < len(steps):
                _, joined, first, values = steps[cycle]
                ctx.set(dut.joined, joined)
                ctx.set(dut.first, first)
                ctx.set(dut.i, values)
            if cycle >= latency and steps[cycle - latency][0]:
                _, joined, first, values = steps[cycle - latency]
                expected = values[:32]
                if joined:
                    lanes = [values[32 * r :][: first + r] for r in range(rows)]
                    expected = [value for row in lanes for value in row]
                assert [ctx.get(dut.o[n]) for n in range(len(expected))] == expected
            await ctx.tick()

    simulate(dut, bench, cycles=500)


def test_bad_outputs() -> None:
    with pytest.raises(ValueError, match="outputs must be 64 or 128, not 32"):
        RowJoin(outputs=32)
