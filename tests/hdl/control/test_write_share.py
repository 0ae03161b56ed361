# amaranth: UnusedElaboratable=no
"""Two writers on one port: what is written, whose turn it is, whose the answers are."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import Out

from hdl.bus.axi import axi4_write_signature
from hdl.bus.interleave import channel_number
from hdl.bus.write_master import WriteMaster
from hdl.config import PRESETS, Config
from hdl.control.write_share import WriteShare

from ..bus.bench import run
from ..bus.memory import WriteMemory
from ..support import put_all

TINY = PRESETS["tiny"]


class Bench(wiring.Component):
    """Both writers in front of a write master."""

    axi: Any

    def __init__(self, *, config: Config) -> None:
        self.share: Any = WriteShare(config=config)
        self.config = config
        super().__init__({"axi": Out(axi4_write_signature(config)).array(config.axi_channels)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.share = self.share
        m.submodules.master = master = WriteMaster(config=self.config)
        wiring.connect(m, self.share.write, master.port)
        for c in range(self.config.axi_channels):
            wiring.connect(m, master.axi[c], wiring.flipped(self.axi[c]))
        return m


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stall", [0.0, 0.5])
def test_bursts_and_answers(channels: int, stall: float) -> None:
    config = replace(TINY, axi_channels=channels)
    dut = Bench(config=config)
    rng = random.Random(channels)
    image: dict[int, int] = {}
    size = config.axi_bytes
    # Results in even blocks of 64 bytes, completions in odd ones of one channel; bad ones of both.
    pages = [page for page in range(8) if channel_number(config, 4096 * page) == 0]
    results = [
        (8192 * rng.randrange(4) + 128 * i, rng.randint(1, 8), rng.randrange(8)) for i in range(60)
    ]
    completions = [4096 * rng.choice(pages) + 128 * i + 64 for i in range(30)]
    bad = set(rng.sample([a for a, _, _ in results], 9) + rng.sample(completions, 5))
    memories = [
        WriteMemory(dut.axi[c], image, data_bytes=size, seed=c, stall=stall, errors=bad)
        for c in range(channels)
    ]
    share = dut.share
    result_requests = [{"burst": {"address": a, "beats": n - 1}, "query": q} for a, n, q in results]
    result_beats = [a + 8 * i for a, n, _ in results for i in range(n)]
    completion_requests = [{"address": a, "beats": 7} for a in completions]
    completion_beats = [a + 8 * i for a in completions for i in range(8)]
    answered, errors = [0] * 8, [0] * 8
    completed = failed = 0

    def put(port: Any, values: list[Any], seed: int) -> Any:
        async def bench(ctx: Any) -> None:
            await put_all(ctx, port, values, stall=stall, seed=seed)

        return bench

    def beats(values: list[int]) -> list[dict[str, int]]:
        return [{"data": value, "strobe": (1 << size) - 1} for value in values]

    async def watch(ctx: Any) -> None:
        nonlocal completed, failed
        while sum(answered) < len(results) or completed < len(completions):
            _, _, answers, completion, error = await ctx.tick().sample(
                share.result_answers, share.completion_answered, share.completion_error
            )
            for answer in answers:
                if answer.valid:
                    answered[answer.query] += 1
                    errors[answer.query] += answer.error
            completed += completion
            failed += error

    benches = [
        put(share.result_request, result_requests, 1),
        put(share.result_data, beats(result_beats), 2),
        put(share.completion_request, completion_requests, 3),
        put(share.completion_data, beats(completion_beats), 4),
        watch,
    ]
    run(dut, benches, [memory.run for memory in memories])
    for address in result_beats + completion_beats:
        assert sum(image[address + i] << 8 * i for i in range(8)) == address
    assert answered == [sum(q == n for _, _, q in results) for n in range(8)]
    assert errors == [sum(q == n and a in bad for a, _, q in results) for n in range(8)]
    assert (completed, failed) == (len(completions), 5)
    # Turns: while both had some, never more than one of a kind in a row in one channel's list.
    if channels == 1 and stall == 0.0:
        kinds = [address // 64 % 2 for address, _ in memories[0].bursts][: 2 * len(completions)]
        assert kinds == [0, 1] * len(completions) or kinds == [1, 0] * len(completions)
