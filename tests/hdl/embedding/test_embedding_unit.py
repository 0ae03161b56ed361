from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from hdl.config import Config, preset
from hdl.embedding.embedding_unit import EmbeddingUnit
from hdl.program import Target

from ..bus.bench import run
from ..support import PATTERNS, get_all, put_all
from .memory_model import MemoryModel
from .words import ALL_UNITS, VectorImage, load, region_word, tag_word, write_feature

TINY = preset("tiny")
CONFIGS = {
    8: TINY,
    16: replace(
        TINY, axi_data_bits=128, gather_lanes=4, reads_in_flight=8, static_cache_bytes=16384
    ),
    64: replace(preset("medium"), grid=2, gather_lanes=2, static_cache_bytes=8192),
}
WIDTHS = {0: 4, 1: 32}  # program -> bytes of a vector
FEATURES = {0: 5, 1: 7}
UNITS = {0: 0, 1: 1, 2: 0, 3: 1}  # unit -> program
ITEMS, PITCH, DENSE, IDS_OFFSET = 40, 128, 13, 16
RECORDS, TABLES = 4096 + 64, 1 << 14
ROWS = 60
SLOTS = 3


class Scene:
    """Records, tables, cache contents, and what has to come out."""

    def __init__(self, config: Config, *, seed: int, bad: bool = True) -> None:
        self.config = config
        rng = random.Random(seed)
        self.memory = bytearray(rng.randbytes(1 << 15))
        self.features, base = {}, TABLES
        for program, count in FEATURES.items():
            width = WIDTHS[program]
            for f in range(count):
                self.features[program, f] = {
                    "base": base,
                    "lane": f,  # beyond the last lane: modulo
                    "log2_row_bytes": width.bit_length() - 1,
                    "offset": (f + 1) * width,
                    "cached": int(f != 2),
                    "rows": ROWS,
                    "seed": rng.randrange(1 << 16),
                    "region": program + 1,
                }
                base += ROWS * width
                base = -(-base // 128) * 128
        assert base <= len(self.memory)
        self.ids = {}  # (item, feature) -> id
        for item in range(ITEMS):
            for f in range(max(FEATURES.values())):
                value = rng.randrange(ROWS)
                if bad and rng.random() < 0.02:
                    value = rng.choice([ROWS, (1 << 32) - 1])
                self.ids[item, f] = value
                at = RECORDS + item * PITCH + IDS_OFFSET + 4 * f
                self.memory[at : at + 4] = value.to_bytes(4, "little")
        # Two shares of each lane's cache, of 8 sets each.
        self.regions = {0: (0, 3, 0), 1: (16, 3, 1024)}
        self.cached = {}  # (program, feature, id) -> (lane, set in the region, way)
        filled: dict[tuple[int, int, int], int] = {}
        keys = [(*key, row) for key in self.features for row in range(ROWS)]
        for program, f, row in rng.sample(keys, len(keys)):
            lane = f % config.gather_lanes
            index = (row ^ self.features[program, f]["seed"]) % 8
            way = filled.get((program, lane, index), 0)
            if way < config.cache_ways:
                filled[program, lane, index] = way + 1
                self.cached[program, f, row] = (lane, index, way)

    def row(self, program: int, f: int, row: int) -> tuple[bytes, bool]:
        """(bytes, hit) of one lookup."""
        feature = self.features[program, f]
        width = WIDTHS[program]
        if row >= ROWS:
            return bytes(width), False
        start = feature["base"] + row * width
        values = bytes(self.memory[start : start + width])
        if feature["cached"] and (program, f, row) in self.cached:
            return bytes(v ^ 255 for v in values), True
        return values, False

    async def fill(self, ctx: Any, port: Any) -> None:
        for (program, f), fields in self.features.items():
            await write_feature(ctx, port, program * 64 + f, fields)
        for program, region in self.regions.items():
            await load(
                ctx, port, Target.CACHE_REGIONS, ALL_UNITS, program + 1, region_word(*region)
            )
        ways = self.config.cache_ways
        data = {}
        for (program, f, row), (lane, index, way) in self.cached.items():
            set_base, _, data_base = self.regions[program]
            address = (set_base + index) * ways + way
            tag = tag_word(program * 64 + f, row)
            await load(ctx, port, Target.CACHE_TAGS, lane, address, tag)
            width = WIDTHS[program]
            start = data_base + (index * ways + way) * width
            source = self.features[program, f]["base"] + row * width
            for k in range(width):
                data[lane, start + k] = self.memory[source + k] ^ 255
        for lane, word in sorted({(lane, at // 8) for lane, at in data}):
            value = bytes(data.get((lane, 8 * word + k), 0) for k in range(8))
            await load(ctx, port, Target.CACHE_DATA, lane, word, int.from_bytes(value, "little"))


class Buffers:
    """Vector buffers of all engines: checks each slot when it is complete and frees it in order."""

    def __init__(self, scene: Scene, rows: dict[int, list[int]]) -> None:
        self.scene, self.rows = scene, rows  # unit -> items in order
        self.images = [VectorImage(scene.config) for _ in UNITS]
        self.allocated = [0] * len(UNITS)
        self.released = [0] * len(UNITS)

    def slot_bytes(self, unit: int) -> int:
        width = WIDTHS[UNITS[unit]]
        return -(-(FEATURES[UNITS[unit]] + 1) * width // 64) * 64

    @property
    def done(self) -> bool:
        return all(self.released[u] == len(self.rows.get(u, [])) for u in UNITS)

    def check_oldest(self, unit: int) -> None:
        """Compare and free the oldest slot once it is complete."""
        program, number = UNITS[unit], self.released[unit]
        if number == self.allocated[unit]:
            return
        image, index = self.images[unit], number % SLOTS
        if image.last.get((unit, index), 0) < FEATURES[program]:
            return
        assert image.last.pop((unit, index)) == FEATURES[program]
        item = self.rows[unit][number]
        base = index * self.slot_bytes(unit)
        for f in range(FEATURES[program]):
            values, _ = self.scene.row(program, f, self.scene.ids[item, f])
            start = base + (f + 1) * WIDTHS[program]
            got = bytes(image.bytes.pop((unit, start + k)) for k in range(len(values)))
            assert got == values, (unit, number, f)
        assert not any(base <= at < base + self.slot_bytes(unit) for _, at in image.bytes)
        self.released[unit] += 1

    async def serve(self, ctx: Any, dut: Any) -> None:
        while True:
            able = 0
            for u in UNITS:
                index = self.allocated[u] % SLOTS
                able |= (self.allocated[u] - self.released[u] < SLOTS) << u
                ctx.set(dut.allocate_address[u], index * self.slot_bytes(u))
                ctx.set(dut.allocate_index[u], index)
            ctx.set(dut.can_allocate, able)
            _, _, allocate, word = await ctx.tick().sample(dut.allocate, dut.row_write)
            for u in UNITS:
                if (allocate >> u) & 1:
                    assert (able >> u) & 1
                    self.allocated[u] += 1
            if word.valid:
                self.images[word.unit].write(word)
            for u in UNITS:
                self.check_oldest(u)


def make_jobs(item_list: list[int]) -> tuple[list[dict[str, int]], dict[int, list[int]]]:
    """Row blocks of both programs; a unit's rows by number."""
    jobs: list[dict[str, int]] = []
    rows: dict[int, list[int]] = {}
    position = 0
    for number, (unit, count) in enumerate([(0, 5), (1, 6), (0, 3), (3, 7), (1, 2), (2, 8)]):
        program = UNITS[unit]
        jobs.append(
            {
                "unit": unit,
                "slot": number % 2,
                "program": program,
                "features": FEATURES[program],
                "rows": count,
                "position": position,
            }
        )
        rows.setdefault(unit, []).extend(item_list[position : position + count])
        position += count
    return jobs, rows


def exercise(
    config: Config, *, pattern: str, seed: int, bad: bool = True, latency: int = 20
) -> dict[str, int]:
    stall = PATTERNS[pattern]
    dut = EmbeddingUnit(config=config)
    scene = Scene(config, seed=seed, bad=bad)
    item_list = sorted(random.Random(seed).sample(range(ITEMS), 31))
    jobs, rows = make_jobs(item_list)
    buffers = Buffers(scene, rows)
    ports = [dut.read_record, *(getattr(dut, f"read_lane_{g}") for g in range(config.gather_lanes))]
    devices = [
        MemoryModel(
            config, scene.memory, latency=latency, stall=stall / 2, ordered=n == 0, seed=seed + n
        )
        for n in range(len(ports))
    ]
    counts = {"hit": 0, "bad": 0, "lookups": 0, "bad_id": 0, "cycles": 0, "error": 0}
    started = False
    chunk_bytes = min(config.axi_bytes, 16)

    async def setup(ctx: Any) -> None:
        nonlocal started
        await scene.fill(ctx, dut.config_write)
        ctx.set(dut.records, RECORDS)
        ctx.set(dut.pitch, PITCH)
        ctx.set(dut.dense_bytes, DENSE)
        ctx.set(dut.ids_offset, IDS_OFFSET)
        assert ctx.get(dut.idle)
        started = True
        await put_all(ctx, dut.i_job, jobs, stall=stall, seed=seed)

    async def dense(ctx: Any) -> None:
        chunks = [
            (job["unit"], row, k)
            for job in jobs
            for row in range(job["rows"])
            for k in range(0, DENSE, chunk_bytes)
        ]
        got = await get_all(ctx, dut.o_dense, len(chunks), stall=stall, seed=seed)
        assert sorted((g.unit, g.chunk.row, g.chunk.k) for g in got) == sorted(chunks)
        while not ctx.get(dut.idle):
            await ctx.tick()
        # Idle: all words are out. The model of the buffers frees one slot a cycle.
        await ctx.tick().repeat(SLOTS + 1)
        assert buffers.done and ctx.get(dut.idle)

    async def item_memory(ctx: Any) -> None:
        while True:
            _, _, address = await ctx.tick().sample(dut.list_address)
            ctx.set(dut.list_data, item_list[address] if address < len(item_list) else 0)

    async def serve_buffers(ctx: Any) -> None:
        await buffers.serve(ctx, dut)

    async def watch(ctx: Any) -> None:
        while True:
            sample = await ctx.tick().sample(dut.bad_id, dut.bus_error, *dut.lookup)
            counts["bad_id"] += sample[2]
            counts["error"] += sample[3]
            counts["cycles"] += started
            for event in sample[4:]:
                counts["lookups"] += event.valid
                counts["hit"] += event.valid & event.hit
                counts["bad"] += event.valid & event.bad

    servers = [device.server(port) for device, port in zip(devices, ports, strict=True)]
    run(dut, [setup, dense], [*servers, item_memory, serve_buffers, watch], cycles=20_000)

    lookups = [
        (UNITS[u], f, scene.ids[item, f])
        for u, items in rows.items()
        for item in items
        for f in range(FEATURES[UNITS[u]])
    ]
    assert counts["lookups"] == len(lookups)
    assert counts["hit"] == sum(scene.row(*lookup)[1] for lookup in lookups)
    assert counts["bad"] == sum(row >= ROWS for _, _, row in lookups)
    assert (counts["bad_id"] > 0) == (counts["bad"] > 0)
    assert counts["error"] == 0
    return counts


@pytest.mark.parametrize(("axi_bytes", "pattern"), [(8, "some"), (16, "none"), (64, "some")])
def test_rows_and_hits(axi_bytes: int, pattern: str) -> None:
    counts = exercise(CONFIGS[axi_bytes], pattern=pattern, seed=axi_bytes)
    assert counts["bad"] and 0 < counts["hit"] < counts["lookups"]


def test_good_query_has_no_bad_id() -> None:
    counts = exercise(TINY, pattern="none", seed=77, bad=False)
    assert counts["bad_id"] == 0


def test_job_without_features_takes_its_slots() -> None:
    dut = EmbeddingUnit(config=TINY)
    device = MemoryModel(TINY, bytearray(range(256)) * 4, ordered=True)
    allocated = 0

    async def bench(ctx: Any) -> None:
        ctx.set(dut.pitch, 64)
        ctx.set(dut.dense_bytes, 8)
        ctx.set(dut.first_stage, 1)
        ctx.set(dut.can_allocate, 0b0100)
        job = {"unit": 2, "slot": 1, "program": 0, "features": 0, "rows": 3, "position": 1}
        await put_all(ctx, dut.i_job, [job], stall=0.0, seed=1)
        got = await get_all(ctx, dut.o_dense, 3, stall=0.0, seed=1)
        assert [list(g.chunk.data)[0] for g in got] == [64, -128, -64]
        while not ctx.get(dut.idle):
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        nonlocal allocated
        while True:
            _, _, allocate, word = await ctx.tick().sample(dut.allocate, dut.row_write)
            assert allocate in (0, 0b0100) and not word.valid
            allocated += allocate != 0

    run(dut, [bench], [device.server(dut.read_record), watch])
    assert allocated == 3
