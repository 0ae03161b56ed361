# amaranth: UnusedElaboratable=no
from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.embedding.gather_lane import GatherLane
from hdl.embedding.static_cache import CacheTags
from hdl.program import Target

from ..bus.bench import run
from ..support import PATTERNS, get_all, put_all
from .memory_model import MemoryModel
from .words import ALL_UNITS, VectorImage, load, region_word, tag_word

TINY = preset("tiny")
CONFIGS = {
    "8-byte beats": TINY,
    "16-byte beats": replace(TINY, axi_data_bits=128, reads_in_flight=8),
    "64-byte beats": replace(preset("medium"), grid=2, gather_lanes=2, static_cache_bytes=8192),
    "one way, one read": replace(TINY, cache_ways=1, reads_in_flight=2),
}
LANE = 1
TABLE_BYTES = 1 << 13
SEED = 0x5A5A
VECTOR_BYTES = 4096


class Scene:
    """One table of rows of a size, partly cached, and lookups of it."""

    def __init__(
        self,
        config: Config,
        row_bytes: int,
        *,
        seed: int,
        lookups: int,
        share_bad: float = 0.1,
        share_hit: float = 0.5,
    ) -> None:
        self.config, self.row_bytes = config, row_bytes
        rng = random.Random(seed)
        self.base = 4096
        self.rows = min(200, TABLE_BYTES // row_bytes)
        self.memory = bytearray(rng.randbytes(self.base + TABLE_BYTES))
        ways = config.cache_ways
        self.table = 5 * 64 + 17
        # Region: half of the row data, sets as many as fit, not at the start of either memory.
        half = config.lane_cache_bytes // 2
        # There is one tag for 8 bytes of row data, which limits rows of 4 bytes.
        self.log2_sets = (half // max(row_bytes, 8) // ways).bit_length() - 1
        self.set_base, self.data_base = 3, half
        sets = 1 << self.log2_sets
        self.cached: dict[int, tuple[int, int]] = {}  # id -> (set, way)
        used: dict[int, int] = {}
        for row in rng.sample(range(self.rows), self.rows):
            index = (row ^ SEED) % sets
            way = used.get(index, 0)
            if way < ways and rng.random() < 0.7:
                self.cached[row] = (index, way)
                used[index] = way + 1
        self.decoys = [index for index in range(sets) if used.get(index, 0) < ways]
        self.used = used
        hot = list(self.cached)
        self.requests: list[dict[str, int]] = []
        self.image: dict[tuple[int, int], int] = {}
        self.lasts: dict[tuple[int, int], int] = {}
        for n in range(lookups):
            kind = rng.random()
            cached = 1
            if kind < share_bad:
                row, bad = rng.randrange(self.rows), 1
            elif kind < share_bad + share_hit:
                row, bad = rng.choice(hot), 0
            else:
                row, bad = rng.randrange(self.rows), 0
                cached = rng.randrange(2)
            place = n * row_bytes % VECTOR_BYTES
            unit = n * row_bytes // VECTOR_BYTES
            address = self.base + row * row_bytes
            self.requests.append(
                {
                    "unit": unit,
                    "index": n % 16,
                    "offset": place,
                    "address": address,
                    "log2_row_bytes": row_bytes.bit_length() - 1,
                    "cached": cached,
                    "bad": bad,
                    "table": self.table,
                    "id": row,
                    "seed": SEED,
                    "region": 2,
                }
            )
            for k in range(row_bytes):
                self.image[unit, place + k] = (
                    0
                    if bad
                    else self.memory[address + k] ^ (255 if cached and row in self.cached else 0)
                )
            self.lasts[unit, n % 16] = self.lasts.get((unit, n % 16), 0) + 1
        self.outcomes = [
            (int(r["cached"] and not r["bad"] and r["id"] in self.cached), r["bad"], r["id"])
            for r in self.requests
        ]

    async def fill(self, ctx: Any, port: Any) -> None:
        """Fill the cache; rows in it are inverted, so that a miss cannot pass for a hit."""
        ways = self.config.cache_ways
        word = region_word(self.set_base, self.log2_sets, self.data_base)
        await load(ctx, port, Target.CACHE_REGIONS, ALL_UNITS, 2, word)
        await load(ctx, port, Target.CACHE_REGIONS, LANE ^ 1, 2, 0)  # another lane's
        for index in self.decoys[:20]:
            # Right id, wrong table; and right table and id without valid.
            way = self.used.get(index, 0)
            row = next(
                r for r in range(self.rows * 64) if (r ^ SEED) % (1 << self.log2_sets) == index
            )
            tag = tag_word(self.table ^ 1, row) if index % 2 else tag_word(self.table, row) & ~1
            address = (self.set_base + index) * ways + way
            await load(ctx, port, Target.CACHE_TAGS, LANE, address, tag)
        for row, (index, way) in self.cached.items():
            address = (self.set_base + index) * ways + way
            await load(ctx, port, Target.CACHE_TAGS, LANE, address, tag_word(self.table, row))
            start = self.data_base + (index * ways + way) * self.row_bytes
            for k in range(start // 8, (start + self.row_bytes + 7) // 8):
                value = bytearray(8)
                for r, (i, w) in self.cached.items():
                    # 8 bytes may hold two rows of 4 bytes.
                    at = self.data_base + (i * ways + w) * self.row_bytes - 8 * k
                    if -self.row_bytes < at < 8:
                        for j in range(8):
                            if 0 <= j - at < self.row_bytes:
                                source = self.base + r * self.row_bytes + j - at
                                value[j] = self.memory[source] ^ 255
                word = int.from_bytes(value, "little")
                await load(ctx, port, Target.CACHE_DATA, LANE, k, word)


def exercise(
    config: Config,
    row_bytes: int,
    *,
    lookups: int,
    stall: float,
    device_options: dict[str, Any] | None = None,
    **scene_options: float,
) -> tuple[Scene, MemoryModel, dict[str, int]]:
    """Run a scene; returns (scene, device, counts of events)."""
    dut = GatherLane(config=config, lane=LANE)
    scene = Scene(config, row_bytes, seed=row_bytes, lookups=lookups, **scene_options)
    device = MemoryModel(config, scene.memory, **(device_options or {}))
    image = VectorImage(config)
    piece = min(row_bytes, config.lane_bytes)
    outcomes, events = [], {"bad": 0, "error": 0, "cycles": 0}
    filled = False

    async def source(ctx: Any) -> None:
        nonlocal filled
        await scene.fill(ctx, dut.config_write)
        filled = True
        await put_all(ctx, dut.i, scene.requests, stall=stall, seed=1)

    async def sink(ctx: Any) -> None:
        n = 0
        while sum(image.last.values()) < len(scene.requests):
            (word,) = await get_all(ctx, dut.row_write, 1, stall=stall, seed=n)
            n += 1
            image.write(word)
            assert bin(word.enable).count("1") * 4 <= piece
        while not ctx.get(dut.idle):
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        while True:
            _, _, lookup, bad, error = await ctx.tick().sample(
                dut.lookup, dut.bad_id, dut.bus_error
            )
            events["cycles"] += filled
            if lookup.valid:
                assert lookup.table == scene.table
                outcomes.append((lookup.hit, lookup.bad, lookup.id))
            events["bad"] += bad
            events["error"] += error

    run(dut, [source, sink], [device.server(dut.read), watch], cycles=40_000)
    assert image.bytes == scene.image
    assert image.last == scene.lasts
    assert outcomes == scene.outcomes
    assert events["bad"] == sum(r["bad"] for r in scene.requests)
    return scene, device, events


@pytest.mark.parametrize(
    ("name", "row_bytes"),
    [
        *(("8-byte beats", size) for size in (4, 8, 16, 32, 64, 128)),
        *(("64-byte beats", size) for size in (4, 8, 16, 32, 64, 128)),
        *(("16-byte beats", size) for size in (8, 16, 64)),
        *(("one way, one read", size) for size in (4, 32)),
    ],
)
def test_rows_arrive(name: str, row_bytes: int) -> None:
    pattern = {4: "none", 16: "heavy", 128: "heavy"}.get(row_bytes, "some")
    config = CONFIGS[name]
    scene, device, events = exercise(config, row_bytes, lookups=40, stall=PATTERNS[pattern] * 0.8)
    misses = [r for r, o in zip(scene.requests, scene.outcomes, strict=True) if not (o[0] or o[1])]
    assert any(o[0] for o in scene.outcomes) and misses
    assert device.beats == len(misses) * max(1, row_bytes // config.axi_bytes)
    assert device.most_outstanding <= config.reads_per_lane
    assert not events["error"]


@pytest.mark.parametrize("row_bytes", [4, 16, 32, 128])
@pytest.mark.parametrize("name", ["8-byte beats", "64-byte beats"])
def test_hits_are_sustained(name: str, row_bytes: int) -> None:
    config = CONFIGS[name]
    lookups = 60
    _, device, events = exercise(
        config, row_bytes, lookups=lookups, stall=0.0, share_bad=0.0, share_hit=1.0
    )
    words = -(-row_bytes // config.lane_bytes)
    print(f"{name}, rows of {row_bytes}: {lookups} hits, {events['cycles']} cycles")
    assert events["cycles"] <= lookups * words + 8
    assert device.beats == 0


def test_reads_overlap() -> None:
    config = CONFIGS["8-byte beats"]
    lookups = 64
    _, device, events = exercise(
        config,
        16,
        lookups=lookups,
        stall=0.0,
        share_bad=0.0,
        share_hit=0.0,
        device_options={"latency": 60, "stall": 0.0},
    )
    assert device.most_outstanding == config.reads_per_lane
    # reads_per_lane rows every latency, and some slack for the turn-around of a slot.
    assert events["cycles"] < lookups / config.reads_per_lane * (60 + 12)


def test_hits_overtake_misses() -> None:
    """While few enough reads are outstanding, hits go on as if there were none."""
    config = CONFIGS["8-byte beats"]
    dut = GatherLane(config=config, lane=LANE)
    scene = Scene(config, 16, seed=3, lookups=200, share_bad=0.0, share_hit=0.5)
    miss = next(r for r, o in zip(scene.requests, scene.outcomes, strict=True) if not o[0])
    hits = [r for r, o in zip(scene.requests, scene.outcomes, strict=True) if o[0]][:50]
    device = MemoryModel(config, scene.memory, latency=300)
    waited = 0

    async def bench(ctx: Any) -> None:
        await scene.fill(ctx, dut.config_write)
        await put_all(ctx, dut.i, [miss] * 4 + hits, stall=0.0, seed=1)

    async def sink(ctx: Any) -> None:
        nonlocal waited
        got = await get_all(ctx, dut.row_write, 50, stall=0.0, seed=1)
        assert [(g.unit, g.address, g.index) for g in got] == [
            (h["unit"], h["offset"], h["index"]) for h in hits
        ]
        waited = len(device.requests)
        await get_all(ctx, dut.row_write, 8, stall=0.0, seed=1)

    run(dut, [bench, sink], [device.server(dut.read)])
    assert waited == 4


def test_bad_beat_is_reported_and_handed_over() -> None:
    config = CONFIGS["16-byte beats"]
    scene = Scene(config, 32, seed=32, lookups=30, share_hit=0.0)
    missed = next(
        r["address"]
        for r, o in zip(scene.requests, scene.outcomes, strict=True)
        if not (o[0] or o[1])
    )
    _, device, events = exercise(
        config, 32, lookups=30, stall=0.0, share_hit=0.0, device_options={"error_at": missed + 16}
    )
    assert events["error"] == sum(address == missed for address, _ in device.requests) > 0


def test_lane_is_checked() -> None:
    with pytest.raises(ValueError, match=r"lane must be in 0\.\.1, not 2"):
        CacheTags(config=TINY, lane=2)
