# amaranth: UnusedElaboratable=no
"""Hash fetch: words of constants as the driver laid them into device memory, in order."""

from __future__ import annotations

from typing import Any

import pytest

from driver.hash_words import hash_constants, hash_stream
from golden.encoders import random_encoder
from hdl.config import preset
from hdl.dhe.hash_fetch import CHUNKS, HashFetch
from hdl.dhe.layouts import HASH_CHUNK_BYTES
from tests.hdl.embedding.memory_model import MemoryModel
from tests.hdl.support import PATTERNS, get_all, put_all, simulate


@pytest.mark.parametrize(
    ("name", "lanes"), [("tiny", 1), ("tiny", 4), ("small", 2), ("medium", 8), ("medium", 2)]
)
@pytest.mark.parametrize("stalls", [("none", "none"), ("some", "heavy")])
def test_words(name: str, lanes: int, stalls: tuple[str, str]) -> None:
    config = preset(name)
    dut = HashFetch(config=config, lanes=lanes)
    encoders = [random_encoder(k, seed=[k], policy="per-hash") for k in (21, 16, 1)]
    image = b"\0" * 512
    jobs = []
    expected = []
    for encoder in encoders:
        groups = -(-encoder.k // lanes)
        jobs.append({"address": len(image), "groups": groups})
        stream = hash_stream(encoder)
        image += stream.ljust(-(-len(stream) // HASH_CHUNK_BYTES) * HASH_CHUNK_BYTES, b"\0")
        constants = zip(encoder.a.tolist(), encoder.b.tolist(), encoder.p.tolist(), strict=True)
        words = [hash_constants(*each) for each in constants]
        words += [dict.fromkeys(words[0], 0)] * (groups * lanes - len(words))
        expected += [words[i : i + lanes] for i in range(0, len(words), lanes)]

    async def send(ctx: Any) -> None:
        await put_all(ctx, dut.i, jobs, stall=PATTERNS[stalls[0]], seed=1)

    async def take(ctx: Any) -> None:
        got = await get_all(ctx, dut.o, len(expected), stall=PATTERNS[stalls[1]], seed=2)
        for word, want in zip(got, expected, strict=True):
            for lane, each in zip(word, want, strict=True):
                assert {key: lane[key] for key in each} == each

    memory = MemoryModel(
        config=config, contents=bytearray(image), ordered=True, stall=PATTERNS[stalls[0]]
    )
    simulate(dut, send, take, background=[memory.server(dut.read)])
    asked = sum(-(-len(hash_stream(encoder)) // HASH_CHUNK_BYTES) for encoder in encoders)
    assert len(memory.requests) == asked and memory.most_outstanding <= CHUNKS


@pytest.mark.parametrize(("name", "lanes"), [("tiny", 1), ("tiny", 4), ("small", 2)])
def test_no_cycle_between_words(name: str, lanes: int) -> None:
    """A word that lasts for more rows than it has beats: the next one is there when it is done."""
    config, rows, groups = preset(name), 12, 96 // lanes
    dut = HashFetch(config=config, lanes=lanes)
    encoder = random_encoder(96, seed=[96], policy="per-hash")
    image = b"\0" * HASH_CHUNK_BYTES + hash_stream(encoder)
    taken: list[int] = []

    async def send(ctx: Any) -> None:
        jobs = [{"address": HASH_CHUNK_BYTES, "groups": groups}]
        await put_all(ctx, dut.i, jobs, stall=PATTERNS["none"], seed=1)

    async def take(ctx: Any) -> None:
        cycle = row = 0
        while len(taken) < groups:
            row += ctx.get(dut.o.valid)
            ctx.set(dut.o.ready, row == rows)
            if row == rows:
                taken.append(cycle)
                row = 0
            await ctx.tick()
            cycle += 1
        ctx.set(dut.o.ready, 0)

    memory = MemoryModel(
        config=config, contents=bytearray(image), ordered=True, stall=PATTERNS["none"]
    )
    simulate(dut, send, take, background=[memory.server(dut.read)])
    assert taken[-1] - taken[0] == rows * (groups - 1)


@pytest.mark.parametrize("lanes", [0, 3, 32])
def test_bad_lanes(lanes: int) -> None:
    with pytest.raises(ValueError, match=f"lanes must be a power of two, at most 16, not {lanes}"):
        HashFetch(config=preset("tiny"), lanes=lanes)
