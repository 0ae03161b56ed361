# amaranth: UnusedElaboratable=no
"""Weight streamer with a slow memory: every tile in its place, none overwritten too early."""

from __future__ import annotations

import random
from collections import deque
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.engine.stream_lane import StreamLane
from hdl.engine.weight_streamer import WeightStreamer
from tests.hdl.support import simulate

TINY = preset("tiny")
SMALL = preset("small")
CHUNK = 256
MIXED = [1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1]
"""Engines of `small`: three of 8 x 8, four of 4 x 4."""


def anchors(config: Config, levels: list[int]) -> list[int]:
    grid = config.grid
    return [
        u
        for u in range(config.sub_arrays)
        if (u // grid) % (1 << levels[u]) == 0 and (u % grid) % (1 << levels[u]) == 0
    ]


class Bench:
    """Fake memory behind the streamer, fake engines in front of it."""

    def __init__(
        self,
        config: Config,
        levels: list[int],
        streams: dict[int, list[int]],
        ring_log2: int,
        *,
        stall: float,
        latency: int,
        consume: float | dict[int, float],
        shared: bool = False,
        begin: dict[int, int] | None = None,
        seed: int = 0,
    ) -> None:
        self.config, self.levels, self.streams = config, levels, streams
        self.ring_log2, self.stall, self.latency = ring_log2, stall, latency
        self.consume = consume if isinstance(consume, dict) else dict.fromkeys(streams, consume)
        self.begin = begin or {}
        self.shared = shared
        self.rng = random.Random(seed)
        self.image = self.rng.randbytes(1 << 17)
        self.dut: Any = WeightStreamer(config=config)
        self.banks = [[0] * config.weight_words for _ in range(config.sub_arrays)]
        self.addresses: dict[int, list[int]] = {}
        at = 0
        for u, tiles in streams.items():
            self.addresses[u] = []
            at = 0 if shared else at
            for count in tiles:
                self.addresses[u].append(at)
                at += -(-count * self.tile_bytes(u) // CHUNK) * CHUNK
        assert at <= len(self.image)
        self.total = {u: sum(tiles) for u, tiles in streams.items()}
        self.landed = dict.fromkeys(streams, 0)
        self.consumed = dict.fromkeys(streams, 0)
        self.most_in_flight = 0
        self.requests: list[int] = []
        self.landing: list[tuple[int, int]] = []  # cycle, unit

    def tile_bytes(self, u: int) -> int:
        return self.config.sub_array**2 << (2 * self.levels[u])

    def ring_base(self, u: int) -> int:
        return 64 + (u % 2) * 8

    def expected(self, u: int, tile: int) -> dict[tuple[int, int], int]:
        """(sub-array, bank word) -> data, straight from the layout's formula."""
        config, e = self.config, 1 << self.levels[u]
        position = tile
        for count, start in zip(self.streams[u], self.addresses[u], strict=True):
            address = start
            if tile < count:
                break
            tile -= count
        words = {}
        for beat in range(e * e * config.slice_words):
            sub_array = beat // config.slice_words
            word = beat % config.slice_words
            bank = u + (sub_array // e) * config.grid + sub_array % e
            offset = (position * config.slice_words + word) % (1 << self.ring_log2)
            start = address + tile * self.tile_bytes(u) + beat * config.axi_bytes
            value = int.from_bytes(self.image[start : start + config.axi_bytes], "little")
            words[bank, self.ring_base(u) + offset] = value
        return words

    def intact(self, u: int, tile: int) -> bool:
        return all(self.banks[b][w] == v for (b, w), v in self.expected(u, tile).items())

    async def engine(self, ctx: Any, u: int) -> None:
        port = getattr(self.dut, f"i_{u}")
        await ctx.tick().repeat(self.begin.get(u, 1))
        for count, address in zip(self.streams[u], self.addresses[u], strict=True):
            ctx.set(
                port.payload,
                {"address": address, "tiles": count, "ring_base": self.ring_base(u),
                 "ring_log2_words": self.ring_log2},
            )  # fmt: skip
            ctx.set(port.valid, 1)
            await ctx.tick().until(port.ready)
            ctx.set(port.valid, 0)

    async def cycle(self, ctx: Any) -> None:
        """Memory, banks and consumers, a cycle at a time."""
        dut, rng = self.dut, self.rng
        request, response = dut.read.request, dut.read.response
        ctx.set(dut.levels, self.levels)
        queue: deque[tuple[int, int, int]] = deque()  # due, address, last
        now = 0
        units = list(self.streams)
        while any(self.consumed[u] < self.total[u] for u in units if self.consume[u]):
            ctx.set(request.ready, rng.random() >= self.stall)
            offer = bool(queue) and queue[0][0] <= now and rng.random() >= self.stall
            ctx.set(response.valid, offer)
            if offer:
                _, address, last = queue[0]
                data = self.image[address : address + self.config.axi_bytes]
                ctx.set(response.payload.data, int.from_bytes(data, "little"))
                ctx.set(response.payload.last, last)
            for u in units:
                use = self.consumed[u] < self.landed[u] and rng.random() < self.consume[u]
                ctx.set(getattr(dut, f"consumed_{u}"), use)
                if use:
                    self.consumed[u] += 1
                    slack = 2 << self.levels[u]
                    for tile in range(max(0, self.consumed[u] - slack), self.consumed[u]):
                        assert self.intact(u, tile), f"unit {u}, tile {tile} was overwritten"
            sampled = await ctx.tick().sample(
                request.valid, request.ready, request.payload, response.ready, dut.weight_write,
                *[getattr(dut, f"landed_{u}") for u in units],
            )  # fmt: skip
            valid, ready, wanted, taken, write, *landed = sampled[2:]
            if offer and taken:
                queue.popleft()
            if valid and ready:
                assert wanted.address % CHUNK == 0 and wanted.tag == 0
                assert (wanted.beats + 1) * self.config.axi_bytes == CHUNK
                self.requests.append(wanted.address)
                for beat in range(wanted.beats + 1):
                    address = wanted.address + beat * self.config.axi_bytes
                    queue.append((now + self.latency, address, beat == wanted.beats))
                chunk_beats = CHUNK // self.config.axi_bytes
                self.most_in_flight = max(self.most_in_flight, -(-len(queue) // chunk_beats))
            if write.valid:
                for bank in range(self.config.sub_arrays):
                    if write.mask >> bank & 1:
                        self.banks[bank][write.addresses[bank]] = write.data
            for u, pulse in zip(units, landed, strict=True):
                if pulse:
                    assert self.intact(u, self.landed[u]), f"unit {u}, tile {self.landed[u]}"
                    self.landed[u] += 1
                    self.landing.append((now, u))
            now += 1
        self.cycles = now

    def run(self) -> None:
        def engine(u: int) -> Any:
            async def run(ctx: Any) -> None:
                await self.engine(ctx, u)

            return run

        idle = [u for u, rate in self.consume.items() if not rate]
        feeding = [engine(u) for u in self.streams if u not in idle]
        background = [engine(u) for u in idle]
        simulate(self.dut, self.cycle, *feeding, background=background, cycles=60_000)
        for u, total in self.total.items():
            assert u in idle or self.landed[u] == total
        if not self.shared:
            assert sorted(self.requests) == sorted(self.chunks())

    def chunks(self) -> list[int]:
        """What the engines ask for, each for itself."""
        return [
            address + offset
            for u, tiles in self.streams.items()
            for count, address in zip(tiles, self.addresses[u], strict=True)
            for offset in range(0, count * self.tile_bytes(u), CHUNK)
        ]


@pytest.mark.parametrize(
    ("config", "levels", "ring_log2", "stall"),
    [
        (TINY, [0] * 4, 6, 0.0),
        (TINY, [1] * 4, 5, 0.6),
        (SMALL, [2] * 16, 4, 0.0),
        (SMALL, MIXED, 6, 0.6),
    ],
    ids=["split", "fused", "small-fused", "mixed"],
)
def test_tiles_in_their_place(
    config: Config, levels: list[int], ring_log2: int, stall: float
) -> None:
    streams = {u: [37 + u, 1, 15 + u] for u in anchors(config, levels)[:5]}
    Bench(config, levels, streams, ring_log2, stall=stall, latency=20, consume=0.15).run()


def test_latency_is_hidden() -> None:
    """One engine, a consumer that keeps up: a beat a cycle although memory takes 60 cycles."""
    bench = Bench(TINY, [1] * 4, {0: [200]}, 8, stall=0.0, latency=60, consume=1.0)
    bench.run()
    assert bench.most_in_flight >= 4
    assert bench.cycles < 200 * 8 + 60 + 20


def test_engines_take_turns() -> None:
    bench = Bench(TINY, [0] * 4, {u: [64] for u in range(4)}, 7, stall=0.0, latency=10, consume=1.0)
    bench.run()
    half = [u for _, u in bench.landing][: len(bench.landing) // 2]
    assert all(half.count(u) == 32 for u in range(4))


@pytest.mark.parametrize(("stall", "consume"), [(0.0, 1.0), (0.5, 0.4), (0.0, 0.1)])
def test_one_read_feeds_all_engines(stall: float, consume: float) -> None:
    """They begin within the time of a ring: what is fetched twice is what the first one had."""
    bench = Bench(
        TINY, [0] * 4, {u: [500, 50] for u in range(4)}, 8,
        stall=stall, latency=30, consume=consume, shared=True, begin={2: 5, 3: 20},
    )  # fmt: skip
    bench.run()
    once = len(set(bench.chunks()))
    assert len(bench.chunks()) == 4 * once
    assert len(bench.requests) <= 1.35 * once


def test_engines_of_one_stream_do_not_wait_for_each_other() -> None:
    """One engine stops for good, one is slow: the others take what they would take alone."""
    streams = {u: [150] for u in range(4)}

    def cycles(consume: dict[int, float]) -> int:
        some = {u: streams[u] for u in consume}
        bench = Bench(
            TINY, [0] * 4, some, 6, stall=0.0, latency=30, consume=consume, shared=True
        )  # fmt: skip
        bench.run()
        return bench.cycles

    alone = cycles({0: 0.1})
    assert cycles({0: 0.1, 1: 0.0, 2: 0.0, 3: 0.3}) <= 1.05 * alone


@pytest.mark.parametrize("seed", range(4))
def test_shared_streams_at_any_pace(seed: int) -> None:
    rng = random.Random(seed)
    bench = Bench(
        TINY, [0] * 4, {u: [40, 3, 40] for u in range(4)}, rng.choice([6, 7]),
        stall=rng.choice([0.0, 0.5]), latency=rng.randrange(1, 60),
        consume={u: rng.choice([0.05, 0.3, 1.0]) for u in range(4)},
        begin={u: rng.randrange(1, 300) for u in range(4)}, shared=True, seed=seed,
    )  # fmt: skip
    bench.run()


def test_errors_go_to_all_queries_of_a_chunk() -> None:
    dut: Any = WeightStreamer(config=TINY)

    async def bench(ctx: Any) -> None:
        request = {"address": 512, "tiles": 16, "ring_base": 0, "ring_log2_words": 7}
        ctx.set(dut.i_1.payload, {**request, "query": 5})
        ctx.set(dut.i_2.payload, {**request, "query": 2})
        ctx.set(dut.i_1.valid, 1)
        ctx.set(dut.i_2.valid, 1)
        ctx.set(dut.read.request.ready, 1)
        await ctx.tick().until(dut.read.request.valid)
        ctx.set(dut.read.response.payload.error, 1)
        ctx.set(dut.read.response.valid, 1)
        await ctx.tick().until(dut.read.response.ready)
        assert ctx.get(dut.bus_error) == 1 << 5 | 1 << 2

    simulate(dut, bench, cycles=100)


def test_full_ring_stops_the_stream() -> None:
    """Nothing is consumed: the ring fills up to its slack and no further."""
    dut: Any = WeightStreamer(config=TINY)
    requests = 0

    async def bench(ctx: Any) -> None:
        nonlocal requests
        ctx.set(dut.i_1.payload, {"address": 0, "tiles": 500, "ring_base": 0, "ring_log2_words": 7})
        ctx.set(dut.i_1.valid, 1)
        ctx.set(dut.read.request.ready, 1)
        for _ in range(100):
            (valid,) = (await ctx.tick().sample(dut.read.request.valid))[2:]
            requests += valid

    simulate(dut, bench, cycles=200)
    # Ring 128 words, 2 of a tile's 2 words are slack each: (128 - 4) // 32 beats a chunk.
    assert requests == 3


def test_error_is_reported() -> None:
    dut: Any = WeightStreamer(config=TINY)

    async def bench(ctx: Any) -> None:
        request = {"address": 0, "tiles": 16, "ring_base": 0, "ring_log2_words": 7, "query": 5}
        ctx.set(dut.i_0.payload, request)
        ctx.set(dut.i_0.valid, 1)
        ctx.set(dut.read.request.ready, 1)
        await ctx.tick().until(dut.read.request.valid)
        ctx.set(dut.read.response.payload.error, 1)
        ctx.set(dut.read.response.valid, 1)
        await ctx.tick().until(dut.read.response.ready)
        assert ctx.get(dut.bus_error) == 1 << 5
        ctx.set(dut.read.response.valid, 0)
        await ctx.tick()
        assert ctx.get(dut.bus_error) == 0

    simulate(dut, bench, cycles=100)


def test_parameters() -> None:
    with pytest.raises(ValueError, match=r"row must be in 0\.\.1, not 2"):
        StreamLane(config=TINY, row=2, column=0)
