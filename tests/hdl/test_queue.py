# amaranth: UnusedElaboratable=no
"""Queue: order under stalls at both ends."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.lib import data

from hdl.queue import Queue

from .support import PATTERNS, get_all, put_all, simulate


def test_depth_is_checked() -> None:
    with pytest.raises(ValueError, match="depth must be at least 1, not 0"):
        Queue(shape=8, depth=0)


@pytest.mark.parametrize("depth", [1, 4, 5, 16])
@pytest.mark.parametrize("idle", PATTERNS)
@pytest.mark.parametrize("pressure", PATTERNS)
def test_order_is_kept(depth: int, idle: str, pressure: str) -> None:
    shape = data.StructLayout({"a": 5, "b": 3})
    dut = Queue(shape=shape, depth=depth)
    values = [{"a": k % 32, "b": k % 7} for k in range(60)]

    async def source(ctx: Any) -> None:
        await put_all(ctx, dut.i, values, stall=PATTERNS[idle], seed=1)

    async def sink(ctx: Any) -> None:
        got = await get_all(ctx, dut.o, len(values), stall=PATTERNS[pressure], seed=2)
        assert [{"a": v.a, "b": v.b} for v in got] == values

    simulate(dut, source, sink)
