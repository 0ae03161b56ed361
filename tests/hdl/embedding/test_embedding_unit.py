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
from .words import ALL_UNITS, load, region_word, tag_word, write_feature

TINY = preset("tiny")
CONFIGS = {
    "tiny": TINY,
    "two loaders": replace(
        TINY, axi_channels=2, record_loaders=2, axi_data_bits=128, gather_lanes=4,
        static_cache_bytes=8192, look_ahead_bytes=4096,
    ),
    "no look-ahead": replace(
        preset("medium"), grid=2, filter_lanes=4, static_cache_bytes=16384, look_ahead_bytes=0,
        lookup_queue=16,
    ),
}  # fmt: skip
WIDTHS = {0: 4, 1: 32}  # program -> bytes of a vector
FEATURES = {0: 5, 1: 11}
UNITS = {0: 0, 1: 1, 2: 0, 3: 1}  # unit -> program
ITEMS, PITCH, DENSE = 40, 192, 13
RECORDS, TABLES = 4096 + 64, 1 << 14
ROWS = 24
SLOTS = 3
IDENTITY = (32768, 15)
PREFETCH = 2  # the query that fetches ahead


class Scene:
    """Records, tables, cache contents, and what has to come out."""

    def __init__(self, config: Config, *, seed: int, bad: bool = True) -> None:
        self.config = config
        rng = random.Random(seed)
        self.memory = bytearray(rng.randbytes(1 << 16))
        lanes = config.gather_lanes
        word = -(-DENSE // 4)
        self.ids_offset = 4 * (word + (1 - word) % lanes)
        self.features, base = {}, TABLES
        for program, count in FEATURES.items():
            width = WIDTHS[program]
            for f in range(count):
                k, lane = divmod(1 + f, lanes)
                self.features[program, f] = {
                    "base": base,
                    "log2_row_bytes": width.bit_length() - 1,
                    "offset": k * width,
                    "cached": int(f != 2),
                    "rows": ROWS,
                    "seed": rng.randrange(1 << 16),
                    "region": program + 1,
                    "table": program * 64 + f,
                    "multiplier": IDENTITY[0],
                    "shift": IDENTITY[1],
                    "pool_first": 1,
                    "pool_last": 1,
                    "item_last": int(f + lanes >= count),
                }
                base += ROWS * width
                base = -(-base // 128) * 128
        assert base <= len(self.memory)
        self.ids = {}  # (item, feature) -> id
        for item in range(ITEMS):
            for f in range(max(FEATURES.values())):
                value = rng.randrange(ROWS)
                if bad and rng.random() < 0.02:
                    value = rng.choice([ROWS, (1 << 32) - 2])
                self.ids[item, f] = value
                at = RECORDS + item * PITCH + self.ids_offset + 4 * f
                self.memory[at : at + 4] = value.to_bytes(4, "little")
        # Two shares of each lane's cache, of 8 sets each.
        self.regions = {0: (0, 3, 0), 1: (16, 3, 1024)}
        self.cached = {}  # (program, feature, id) -> (lane, set in the region, way)
        filled: dict[tuple[int, int, int], int] = {}
        keys = [(*key, row) for key in self.features for row in range(ROWS)]
        for program, f, row in rng.sample(keys, len(keys)):
            lane = (1 + f) % lanes
            index = (row ^ self.features[program, f]["seed"]) % 8
            way = filled.get((program, lane, index), 0)
            if way < config.cache_ways and self.features[program, f]["cached"]:
                filled[program, lane, index] = way + 1
                self.cached[program, f, row] = (lane, index, way)

    def row(self, program: int, f: int, row: int) -> tuple[bytes, bool]:
        """(bytes, static hit) of one lookup."""
        width = WIDTHS[program]
        if row >= ROWS:
            return bytes(width), False
        start = self.features[program, f]["base"] + row * width
        values = bytes(self.memory[start : start + width])
        if (program, f, row) in self.cached:
            return bytes(v ^ 255 for v in values), True
        return values, False

    async def fill(self, ctx: Any, port: Any) -> None:
        config = self.config
        for (program, f), fields in self.features.items():
            k, lane = divmod(1 + f, config.gather_lanes)
            await write_feature(ctx, port, config, lane, program, k, fields)
        for program, region in self.regions.items():
            await load(
                ctx, port, Target.CACHE_REGIONS, ALL_UNITS, program + 1, region_word(*region)
            )
        data = {}
        for (program, f, row), (lane, index, way) in self.cached.items():
            set_base, _, data_base = self.regions[program]
            address = (set_base + index) * config.cache_ways + way
            tag = tag_word(program * 64 + f, row)
            await load(ctx, port, Target.CACHE_TAGS, lane, address, tag)
            width = WIDTHS[program]
            start = data_base + (index * config.cache_ways + way) * width
            source = self.features[program, f]["base"] + row * width
            for k in range(width):
                data[lane, start + k] = self.memory[source + k] ^ 255
        for lane, word in sorted({(lane, at // 8) for lane, at in data}):
            value = bytes(data.get((lane, 8 * word + k), 0) for k in range(8))
            await load(ctx, port, Target.CACHE_DATA, lane, word, int.from_bytes(value, "little"))


class Buffers:
    """Vector buffers of all engines: checks what a lane leaves of each item, frees in order."""

    def __init__(self, scene: Scene, rows: dict[int, list[int]]) -> None:
        self.scene, self.rows = scene, rows  # unit -> items in order
        self.lanes = scene.config.gather_lanes
        self.bytes: dict[tuple[int, int, int], int] = {}  # (unit, lane, address), written once
        self.finished: dict[tuple[int, int], int] = {}  # (unit, lane) -> items
        self.allocated = [0] * len(UNITS)
        self.released = [0] * len(UNITS)

    def slot_bytes(self, unit: int) -> int:
        """Of each bank: all vectors there, in whole lane words."""
        program = UNITS[unit]
        size = -(-(FEATURES[program] + 1) // self.lanes) * WIDTHS[program]
        word = self.scene.config.lane_bytes
        return -(-size // word) * word

    @property
    def done(self) -> bool:
        return all(self.released[u] == len(self.rows.get(u, [])) for u in UNITS)

    def write(self, lane: int, word: Any) -> None:
        size = self.scene.config.lane_bytes
        assert word.address % size == 0 and word.enable
        for k in range(size):
            if word.enable >> k // 4 & 1:
                place = (word.unit, lane, word.address + k)
                assert place not in self.bytes, "written twice"
                self.bytes[place] = word.data >> 8 * k & 255
        if word.item_last:
            self.check(word.unit, lane)

    def check(self, unit: int, lane: int) -> None:
        """Compare the vectors that a lane has handed over for its oldest item."""
        program = UNITS[unit]
        number = self.finished.get((unit, lane), 0)
        self.finished[unit, lane] = number + 1
        assert number < self.allocated[unit]
        item = self.rows[unit][number]
        base = number % SLOTS * self.slot_bytes(unit)
        for f in range(FEATURES[program]):
            if (1 + f) % self.lanes == lane:
                values, _ = self.scene.row(program, f, self.scene.ids[item, f])
                start = base + (1 + f) // self.lanes * WIDTHS[program]
                got = bytes(self.bytes.pop((unit, lane, start + k)) for k in range(len(values)))
                assert got == values, (unit, number, f)

    async def serve(self, ctx: Any, dut: Any) -> None:
        while True:
            able = 0
            for u in UNITS:
                needed = {(1 + f) % self.lanes for f in range(FEATURES[UNITS[u]])}
                done = min(self.finished.get((u, lane), 0) for lane in needed)
                self.released[u] = done
                index = self.allocated[u] % SLOTS
                able |= (self.allocated[u] - done < SLOTS) << u
                ctx.set(dut.allocate_address[u], index * self.slot_bytes(u))
                ctx.set(dut.allocate_index[u], index)
            ctx.set(dut.can_allocate, able)
            _, _, allocate, *words = await ctx.tick().sample(
                dut.allocate, *(dut.row_write[lane] for lane in range(self.lanes))
            )
            for u in UNITS:
                if (allocate >> u) & 1:
                    assert (able >> u) & 1
                    self.allocated[u] += 1
            for lane, word in enumerate(words):
                if word.valid:
                    self.write(lane, word)


def make_jobs(
    scene: Scene, item_list: list[int]
) -> tuple[list[dict[str, int]], dict[int, list[int]]]:
    """Row blocks of both programs, the last two fetched ahead before; a unit's rows by number."""
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
                "stride": 1,
                "query": number % 2,
                "records": RECORDS,
                "pitch": PITCH,
                "dense_bytes": DENSE,
                "ids_offset": scene.ids_offset,
            }
        )
        rows.setdefault(unit, []).extend(item_list[position : position + count])
        position += count
    one, two = ({**job, "prefetch": 1, "query": PREFETCH} for job in jobs[-2:])
    return [jobs[0], two, jobs[1], one, *jobs[2:]], rows


def exercise(config: Config, *, pattern: str, seed: int, bad: bool = True) -> dict[str, int]:
    stall = PATTERNS[pattern]
    dut = EmbeddingUnit(config=config)
    scene = Scene(config, seed=seed, bad=bad)
    lanes, loaders = config.gather_lanes, config.record_loaders
    item_list = sorted(random.Random(seed).sample(range(ITEMS), 31))
    jobs, rows = make_jobs(scene, item_list)
    buffers = Buffers(scene, rows)
    servers = []
    for n in range(loaders):
        device = MemoryModel(
            config, scene.memory, stall=stall / 2, tags_are_channels=True, seed=seed + n
        )
        servers.append(device.server(getattr(dut, f"read_record_{n}")))
    for n in range(lanes):
        device = MemoryModel(config, scene.memory, stall=stall / 2, seed=seed + 9 + n)
        servers.append(device.server(getattr(dut, f"read_lane_{n}")))
    names = ("static_hit", "look_ahead_hit", "miss", "bad", "dropped")
    counts = dict.fromkeys((*names, "lookups", "prefetches", "bad_ids"), 0)
    chunk_bytes = min(config.axi_bytes, 16)
    real = [job for job in jobs if "prefetch" not in job]
    left = [loaders]

    async def setup(ctx: Any) -> None:
        ctx.set(dut.live, 1 << PREFETCH)
        await scene.fill(ctx, dut.config_write)
        assert ctx.get(dut.idle)
        for number, job in enumerate(jobs):
            port = dut.i_prefetch if "prefetch" in job else dut.i_job
            await put_all(ctx, port, [job], stall=stall, seed=seed + number)

    def dense(loader: int) -> Any:
        async def bench(ctx: Any) -> None:
            chunks = [
                (job["unit"], row, k)
                for job in real
                for row in range(job["rows"])
                for k in range(0, DENSE, chunk_bytes)
                if config.loader_of(*divmod(job["unit"], config.grid), 0) == loader
            ]
            port = dut.o_dense[loader]
            got = await get_all(ctx, port, len(chunks), stall=stall, seed=seed)
            assert sorted((g.unit, g.chunk.row, g.chunk.k) for g in got) == sorted(chunks)
            left[0] -= 1
            while left[0] or not ctx.get(dut.idle):
                await ctx.tick()
            # Idle: all words are out. The model of the buffers frees all slots at once.
            await ctx.tick().repeat(2)
            assert buffers.done and ctx.get(dut.idle)

        return bench

    async def item_memory(ctx: Any) -> None:
        while True:
            ports = [dut.list_address[n] for n in range(loaders)]
            _, _, *addresses = await ctx.tick().sample(*ports)
            for n, address in enumerate(addresses):
                item = item_list[address] if address < len(item_list) else 0
                ctx.set(dut.list_data[n], item)

    async def serve_buffers(ctx: Any) -> None:
        await buffers.serve(ctx, dut)

    async def watch(ctx: Any) -> None:
        events = [dut.lookup[n] for n in range(lanes)]
        async for sample in ctx.tick().sample(dut.bad_id, dut.bus_error, *events):
            counts["bad_ids"] |= sample[2]
            assert not sample[3]
            for event in sample[4:]:
                if not event.valid:
                    continue
                assert event.query == PREFETCH if event.prefetch else event.query < 2
                assert sum(event[name] for name in names) == 1
                counts["prefetches" if event.prefetch else "lookups"] += 1
                for name in names:
                    counts[name] += event[name] and not event.prefetch

    benches = [setup, *(dense(n) for n in range(loaders))]
    run(dut, benches, [*servers, item_memory, serve_buffers, watch], cycles=20_000)
    lookups = [
        (UNITS[u], f, scene.ids[item, f])
        for u, items in rows.items()
        for item in items
        for f in range(FEATURES[UNITS[u]])
    ]
    assert counts["lookups"] == len(lookups)
    assert counts["prefetches"] == 8 * FEATURES[UNITS[2]] + 2 * FEATURES[UNITS[1]]
    assert counts["static_hit"] == sum(scene.row(*lookup)[1] for lookup in lookups)
    assert counts["bad"] == sum(row >= ROWS for _, _, row in lookups)
    assert (counts["bad_ids"] > 0) == (counts["bad"] > 0)
    assert not buffers.bytes
    return counts


@pytest.mark.parametrize(
    ("name", "pattern"), [("tiny", "some"), ("two loaders", "none"), ("no look-ahead", "some")]
)
def test_rows_and_hits(name: str, pattern: str) -> None:
    counts = exercise(CONFIGS[name], pattern=pattern, seed=len(name))
    assert counts["bad"] and counts["static_hit"] and counts["miss"]


def test_good_query_has_no_bad_id() -> None:
    counts = exercise(TINY, pattern="none", seed=77, bad=False)
    assert counts["bad_ids"] == 0


def test_job_without_features_takes_its_slots() -> None:
    dut = EmbeddingUnit(config=TINY)
    device = MemoryModel(TINY, bytearray(range(256)) * 4, tags_are_channels=True)
    allocated = 0

    async def bench(ctx: Any) -> None:
        ctx.set(dut.can_allocate, 0b0100)
        job = {"unit": 2, "slot": 1, "features": 0, "rows": 3, "position": 1, "stride": 1}
        job |= {"pitch": 64, "dense_bytes": 8, "first": 1}
        await put_all(ctx, dut.i_job, [job], stall=0.0, seed=1)
        got = await get_all(ctx, dut.o_dense[0], 3, stall=0.0, seed=1)
        assert [list(g.chunk.data)[0] for g in got] == [64, -128, -64]
        while not ctx.get(dut.idle):
            await ctx.tick()

    async def watch(ctx: Any) -> None:
        nonlocal allocated
        while True:
            _, _, allocate, word = await ctx.tick().sample(dut.allocate, dut.row_write[0])
            assert allocate in (0, 0b0100) and not word.valid
            allocated += allocate != 0

    records: Any = dut
    run(dut, [bench], [device.server(records.read_record_0), watch])
    assert allocated == 3
