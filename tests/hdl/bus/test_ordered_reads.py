from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.bus.beat_buffer import BEATS
from hdl.bus.ordered_reads import OrderedReads
from hdl.config import preset

from ..embedding.memory_model import MemoryModel
from ..support import put_all
from .bench import run

TINY = preset("tiny")


@pytest.mark.parametrize("channels", [2, 4])
@pytest.mark.parametrize("stall", [0.0, 0.4])
def test_beats_in_order_of_requests(channels: int, stall: float) -> None:
    config = replace(TINY, axi_channels=channels)
    rng = random.Random(channels)
    contents = bytearray(rng.randbytes(1 << 17))
    failing = 5 * 4096 + 64
    device = MemoryModel(
        config, contents, latency=60, stall=stall, tags_are_channels=True, error_at=failing
    )
    dut = OrderedReads(config=config)
    requests: list[dict[str, int]] = []
    for n in range(60):
        beats = rng.randint(1, 31)  # of more than the ring holds in all
        address = rng.randrange(32) * 4096 + 64 * rng.randrange(8)
        address = 5 * 4096 + 64 if n == 7 else address
        requests.append({"address": address, "beats": beats - 1, "tag": 0})
    assert sum(r["beats"] + 1 for r in requests) > 3 * BEATS
    want = [
        (r["address"] + 8 * n, n == r["beats"]) for r in requests for n in range(r["beats"] + 1)
    ]

    async def ask(ctx: Any) -> None:
        await put_all(ctx, dut.reader.request, requests, stall=stall, seed=1)

    async def take(ctx: Any) -> None:
        order = random.Random(2)
        port = dut.reader.response
        for address, last in want:
            while order.random() < stall:
                await ctx.tick()
            ctx.set(port.ready, 1)
            (beat,) = await ctx.tick().sample(port.payload).until(port.valid)
            ctx.set(port.ready, 0)
            assert beat.data == int.from_bytes(contents[address : address + 8], "little")
            assert beat.last == last
            assert beat.error == (address == failing)

    run(dut, [ask, take], [device.server(dut.read)])
