"""Encoder as it stands in an engine: constants out of device memory, lanes, codes; its rate."""

from __future__ import annotations

from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring

from driver.hash_words import bucket_constants, hash_stream
from golden.encoders import random_encoder
from hdl.config import Config, preset
from hdl.dhe.code_generator import CodeGenerator
from hdl.dhe.hash_fetch import HashFetch
from hdl.dhe.layouts import HASH_CHUNK_BYTES
from tests.hdl.embedding.memory_model import MemoryModel
from tests.hdl.support import PATTERNS, put_all, simulate


class Encoder(Elaboratable):
    """Fetch and generator of one engine."""

    def __init__(self, config: Config, lanes: int) -> None:
        self.fetch = HashFetch(config=config, lanes=lanes)
        self.generator = CodeGenerator(config=config, lanes=lanes)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.fetch, m.submodules.generator = self.fetch, self.generator
        wiring.connect(m, self.fetch.o, self.generator.i_hashes)
        m.d.comb += self.generator.o.ready.eq(1)
        return m


@pytest.mark.parametrize(
    ("name", "lanes", "rows"), [("tiny", 1, 16), ("tiny", 1, 5), ("small", 2, 32), ("small", 2, 25)]
)
def test_hashes_a_lane_and_cycle(name: str, lanes: int, rows: int) -> None:
    """At least 0.98 from the first code of two features to the last one, k = 512 each."""
    config = preset(name)
    dut = Encoder(config, lanes)
    encoder = random_encoder(512, seed=[1], policy="per-hash")
    image = b"\0" * HASH_CHUNK_BYTES + hash_stream(encoder)
    groups = 512 // lanes
    job: dict[str, Any] = {
        "rows": rows, "groups": groups, "buckets": bucket_constants(encoder.m),
    }  # fmt: skip
    taken: list[int] = []

    async def fetch(ctx: Any) -> None:
        ask = {"address": HASH_CHUNK_BYTES, "groups": groups}
        await put_all(ctx, dut.fetch.i, [ask, ask], stall=0, seed=1)

    async def generate(ctx: Any) -> None:
        await put_all(ctx, dut.generator.i_job, [job, job], stall=0, seed=1)

    async def count(ctx: Any) -> None:
        cycle = 0
        while len(taken) < 2 * groups * rows:
            if ctx.get(dut.generator.o.valid):
                taken.append(cycle)
            await ctx.tick()
            cycle += 1

    memory = MemoryModel(
        config=config, contents=bytearray(image), ordered=True, stall=PATTERNS["none"]
    )
    server = memory.server(dut.fetch.read)
    simulate(dut, fetch, generate, count, background=[server], cycles=50_000)
    rate = len(taken) / (taken[-1] - taken[0] + 1)
    print(f"{name}, {lanes} lanes, {rows} items: {rate:.4f} groups a cycle")
    assert rate >= 0.98
