"""Crossbar against a memory that answers late, out of order and interleaved."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.bus.interleave import channel_number
from hdl.bus.read_crossbar import ORDERED_REQUESTERS, ReadCrossbar
from hdl.config import PRESETS, Config

from ..support import put_all
from .bench import run
from .memory import Image, ReadMemory, word

TINY = PRESETS["tiny"]


def traffic(config: Config, r: int, count: int, seed: int) -> list[dict[str, int]]:
    """Bursts of requester ``r``: ordered ones use tag 0, lanes give every tag a row of its own."""
    rng = random.Random(seed * 100 + r)
    size = config.axi_bytes
    out = []
    for i in range(count):
        beats = rng.randint(1, 8)
        page = rng.randrange(8)
        offset = rng.randrange((4096 - beats * size) // size + 1) * size
        tag = 0 if r < ORDERED_REQUESTERS else i % config.reads_per_lane
        out.append({"address": page * 4096 + offset, "beats": beats - 1, "tag": tag})
    return out


def expected(config: Config, image: Image, request: dict[str, int]) -> list[tuple[int, int]]:
    size = config.axi_bytes
    count = request["beats"] + 1
    return [
        (word(image, request["address"] + i * size, size), int(i == count - 1))
        for i in range(count)
    ]


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("stall", [0.0, 0.6])
def test_every_beat_comes_home(channels: int, stall: float) -> None:
    config = replace(TINY, axi_channels=channels)
    dut = ReadCrossbar(config=config)
    rng = random.Random(7)
    image = bytearray(rng.randbytes(8 * 4096))
    memories = [
        ReadMemory(dut.axi[c], image, data_bytes=8, seed=c, stall=stall) for c in range(channels)
    ]
    plans = [traffic(config, r, 24, 3) for r in range(config.read_requesters)]
    benches = []
    for r, plan in enumerate(plans):
        port = dut.requester[r]
        # A lane asks for a tag again only when the tag's burst is home.
        free = {t: True for t in range(config.reads_per_lane)}

        async def send(
            ctx: Any, r: int = r, port: Any = port, plan: Any = plan, free: Any = free
        ) -> None:
            for i, request in enumerate(plan):
                while r >= ORDERED_REQUESTERS and not free[request["tag"]]:
                    await ctx.tick()
                free[request["tag"]] = False
                await put_all(ctx, port.request, [request], stall=stall, seed=r * 1000 + i)

        async def take(
            ctx: Any, r: int = r, port: Any = port, plan: Any = plan, free: Any = free
        ) -> None:
            stalls = random.Random(r)
            waiting: dict[int, list[Any]] = {}
            for request in plan:
                waiting.setdefault(request["tag"], []).append(expected(config, image, request))
            for _ in range(sum(request["beats"] + 1 for request in plan)):
                while stalls.random() < stall:
                    await ctx.tick()
                ctx.set(port.response.ready, 1)
                (beat,) = await ctx.tick().sample(port.response.payload).until(port.response.valid)
                ctx.set(port.response.ready, 0)
                assert not beat.error
                want = waiting[beat.tag][0].pop(0)
                assert (beat.data, beat.last) == want
                if beat.last:
                    assert waiting[beat.tag].pop(0) == []
                    free[beat.tag] = True

        benches += [send, take]
    run(dut, benches, [memory.run for memory in memories])
    seen = [(c, *entry) for c, memory in enumerate(memories) for entry in memory.seen]
    assert len(seen) == 24 * config.read_requesters
    for c, ident, address, _ in seen:
        assert channel_number(config, address) == c
        assert ident >> config.tag_bits < config.read_requesters


def test_one_beat_a_cycle_and_errors() -> None:
    """Full rate without stalls; a SLVERR beat carries ``error``; the counters count."""
    dut = ReadCrossbar(config=TINY)
    image = bytearray(random.Random(1).randbytes(4096))
    memory = ReadMemory(
        dut.axi[0], image, data_bytes=8, seed=0, stall=0.0, latency=(1, 1), errors={8}
    )
    port = dut.requester[0]
    totals = [0, 0]

    async def send(ctx: Any) -> None:
        requests = [{"address": i * 128, "beats": 15, "tag": 0} for i in range(16)]
        await put_all(ctx, port.request, requests, stall=0.0, seed=0)

    async def take(ctx: Any) -> None:
        ctx.set(port.response.ready, 1)
        errors: list[int] = []
        gaps = 0
        started = False
        while len(errors) < 256:
            _, _, valid, beat, bursts, beats = await ctx.tick().sample(
                port.response.valid, port.response.payload, dut.bursts, dut.beats
            )
            totals[0] += bursts
            totals[1] += beats
            if valid:
                started = True
                errors.append(beat.error)
            elif started:
                gaps += 1
        assert gaps == 0
        assert errors == [0, 1] + [0] * 254
        await ctx.tick()
        assert ctx.get(dut.idle)

    run(dut, [send, take], [memory.run], cycles=2000)
    assert totals == [16, 256]


def test_ordered_requester_waits_to_change_channel() -> None:
    """The second page is on the other, faster channel: its beat must still come second."""
    config = replace(TINY, axi_channels=2)
    dut = ReadCrossbar(config=config)
    image = bytearray(random.Random(5).randbytes(8192))
    slow = ReadMemory(dut.axi[0], image, data_bytes=8, seed=0, stall=0.0, latency=(50, 50))
    fast = ReadMemory(dut.axi[1], image, data_bytes=8, seed=0, stall=0.0, latency=(1, 1))
    order: dict[int, list[int]] = {}

    def sender(r: int) -> Any:
        async def send(ctx: Any) -> None:
            requests = [{"address": page * 4096, "beats": 0, "tag": page} for page in (0, 1)]
            await put_all(ctx, dut.requester[r].request, requests, stall=0.0, seed=0)

        return send

    def taker(r: int) -> Any:
        async def take(ctx: Any) -> None:
            port = dut.requester[r].response
            ctx.set(port.ready, 1)
            order[r] = []
            for _ in range(2):
                (beat,) = await ctx.tick().sample(port.payload).until(port.valid)
                order[r].append(beat.tag)

        return take

    run(dut, [f(r) for r in (0, 3) for f in (sender, taker)], [slow.run, fast.run])
    assert order == {0: [0, 1], 3: [1, 0]}


def test_quiesce_drains_and_discards() -> None:
    dut = ReadCrossbar(config=TINY)
    image = bytearray(random.Random(2).randbytes(4096))
    memory = ReadMemory(dut.axi[0], image, data_bytes=8, seed=4, stall=0.5)
    lane, front = dut.requester[3], dut.requester[0]

    async def bench(ctx: Any) -> None:
        # Nobody takes responses: the crossbar fills up.
        requests = [{"address": i * 64, "beats": 7, "tag": i % 8} for i in range(6)]
        await put_all(ctx, lane.request, requests, stall=0.0, seed=0)
        await put_all(ctx, front.request, requests[:2], stall=0.0, seed=0)
        assert ctx.get(dut.outstanding) > 0 and not ctx.get(dut.idle)
        ctx.set(lane.request.valid, 1)
        ctx.set(dut.quiesce, 1)
        await ctx.tick().repeat(dut.QUIESCE_LATENCY)
        assert not ctx.get(lane.request.ready)
        await ctx.tick().until(dut.idle)
        assert ctx.get(dut.outstanding) == 0 and not ctx.get(lane.response.valid)
        ctx.set(lane.request.valid, 0)
        await ctx.tick().repeat(3)
        ctx.set(dut.quiesce, 0)
        # Back in service, nothing old comes out.
        await put_all(
            ctx, front.request, [{"address": 256, "beats": 0, "tag": 1}], stall=0.0, seed=0
        )
        ctx.set(front.response.ready, 1)
        (beat,) = await ctx.tick().sample(front.response.payload).until(front.response.valid)
        assert (beat.data, beat.tag, beat.last) == (word(image, 256, 8), 1, 1)

    run(dut, [bench], [memory.run])
