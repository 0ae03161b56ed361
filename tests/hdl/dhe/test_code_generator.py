# amaranth: UnusedElaboratable=no
"""Code generator: every code of every item against golden, order of chunks, rate."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from driver.hash_words import bucket_constants, hash_constants
from golden.dhe import HashEncoder, integer_code
from golden.encoders import PrimePolicy, random_encoder
from hdl.config import Config, preset
from hdl.dhe.code_generator import CodeGenerator
from hdl.dhe.hash_lane import HashLane
from tests.hdl.support import PATTERNS, get_all, put_all, simulate


def words(encoder: HashEncoder, lanes: int) -> list[list[dict[str, int]]]:
    """Constants of each group; hashes behind k are padded with zeros."""
    each = [
        hash_constants(a, b, p)
        for a, b, p in zip(encoder.a.tolist(), encoder.b.tolist(), encoder.p.tolist(), strict=True)
    ]
    each += [dict.fromkeys(each[0], 0)] * (-len(each) % lanes)
    return [each[i : i + lanes] for i in range(0, len(each), lanes)]


class Run:
    """Some features of one row block through a generator."""

    def __init__(
        self, config: Config, lanes: int, level: int, stalls: tuple[str, str], seed: int
    ) -> None:
        self.dut = CodeGenerator(config=config, lanes=lanes)
        self.lanes, self.level, self.stalls, self.seed = lanes, level, stalls, seed
        self.chunks: list[Any] = []
        self.cycles = 0

    def __call__(self, encoders: list[HashEncoder], ids: list[np.ndarray[Any, Any]]) -> None:
        dut = self.dut
        jobs = [
            {
                "slot": n & 1,
                "rows": len(ids[n]),
                "groups": -(-encoder.k // self.lanes),
                "buckets": bucket_constants(encoder.m),
            }
            for n, encoder in enumerate(encoders)
        ]
        hashes = [word for encoder in encoders for word in words(encoder, self.lanes)]
        count = sum(-(-e.k // self.lanes) * len(x) for e, x in zip(encoders, ids, strict=True))

        async def send_jobs(ctx: Any) -> None:
            ctx.set(dut.level, self.level)
            await put_all(ctx, dut.i_job, jobs, stall=0, seed=self.seed)

        async def send_hashes(ctx: Any) -> None:
            stall = PATTERNS[self.stalls[0]]
            await put_all(ctx, dut.i_hashes, hashes, stall=stall, seed=self.seed)

        async def take(ctx: Any) -> None:
            stall = PATTERNS[self.stalls[1]]
            got = await get_all(ctx, dut.o, count, stall=stall, seed=self.seed + 1)
            self.chunks = got
            await ctx.tick()
            assert ctx.get(dut.idle)

        async def give_ids(ctx: Any) -> None:
            """The id buffer of the job at work: an id a cycle after its row."""
            job = -1
            started = dut.i_job.valid & dut.i_job.ready
            async for _, _, start, row in ctx.tick().sample(started, dut.id_row):
                self.cycles += 1
                job += start
                if job >= 0:
                    ctx.set(dut.id, int(ids[job][row % len(ids[job])]))

        simulate(dut, send_jobs, send_hashes, take, background=[give_ids], cycles=200_000)


def check(run: Run, encoders: list[HashEncoder], ids: list[np.ndarray[Any, Any]]) -> None:
    edge = 4 << run.level
    position = 0
    for n, encoder in enumerate(encoders):
        code = integer_code(encoder, ids[n])
        groups = -(-encoder.k // run.lanes)
        for group in range(groups):
            for row in range(len(ids[n])):
                chunk = run.chunks[position]
                position += 1
                k = group * run.lanes
                assert (chunk.slot, chunk.row, chunk.k, chunk.count) == (n & 1, row, k, run.lanes)
                page_end = (k + run.lanes) % edge == 0
                assert chunk.last == (page_end or group == groups - 1)
                expected = code[row, k : k + run.lanes].tolist()
                assert [chunk.data[i] for i in range(len(expected))] == expected
    assert position == len(run.chunks)


@pytest.mark.parametrize("policy", ["shared", "per-hash"])
@pytest.mark.parametrize("stalls", [("none", "none"), ("some", "heavy"), ("heavy", "some")])
def test_codes(stalls: tuple[str, str], policy: PrimePolicy) -> None:
    """Two features, one row block each, k no multiple of the lanes."""
    random = np.random.default_rng(4)
    config = preset("tiny")
    encoders = [
        random_encoder(10, seed=[1], policy=policy),
        random_encoder(5, seed=[2], m=5000, policy=policy),
        random_encoder(1, seed=[3], policy=policy),
    ]
    ids = [random.integers(0, 1 << 32, rows).astype(np.uint32) for rows in (16, 3, 1)]
    run = Run(config, lanes=4, level=1, stalls=stalls, seed=7)
    run(encoders, ids)
    check(run, encoders, ids)


@pytest.mark.parametrize("lanes", [1, 2])
def test_a_hash_a_lane_and_cycle(lanes: int) -> None:
    """At least 0.98 of them, k = 128 and 16 items; the rest is one pass of the lanes."""
    random = np.random.default_rng(4)
    encoder = random_encoder(128, seed=[1])
    ids = random.integers(0, 1 << 32, 16).astype(np.uint32)
    run = Run(preset("tiny"), lanes=lanes, level=1, stalls=("none", "none"), seed=7)
    run([encoder], [ids])
    check(run, [encoder], [ids])
    work = 128 * 16 // lanes
    assert run.cycles <= work + HashLane.LATENCY + 8
    if lanes == 1:
        assert work / run.cycles >= 0.98


@pytest.mark.parametrize("lanes", [0, 3, 8])
def test_bad_lanes(lanes: int) -> None:
    with pytest.raises(ValueError, match=f"lanes must be a power of two, at most 4, not {lanes}"):
        CodeGenerator(config=preset("tiny"), lanes=lanes)
