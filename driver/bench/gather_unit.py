"""The embedding unit alone in RTL: crossbar, record loaders and lanes in front of a model of DRAM.

Engines take everything at once. Every row word that leaves a lane is compared with the table.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from amaranth.hdl import Elaboratable, Module
from amaranth.lib import wiring
from amaranth.sim import Simulator
from numpy.typing import NDArray

from hdl.bus.read_crossbar import ReadCrossbar
from hdl.config import Config
from hdl.embedding.embedding_unit import EmbeddingUnit
from hdl.interfaces import lookup_event_layout, row_write_layout
from hdl.program import CACHE_REGION, CACHE_TAG, FEATURE, FEATURE_WORDS, Target
from hdl.words import pack
from sim.timing.dram import Dram

from ..records import bank_place, record_layout
from ..stage_shapes import IDENTITY
from .dram_agent import DramChannel

__all__ = ["GatherScene", "GatherTimes", "held_rows", "run_unit"]

DENSE = 13
_TABLES = 1 << 20
"""Address of the first table; records lie below."""
_SETTLE = 16


def _sets(config: Config, row_bytes: int) -> int:
    """Sets of a lane's static cache that is one region of rows of this size."""
    sets = config.lane_cache_bytes // max(8, row_bytes) // config.cache_ways
    return 1 << sets.bit_length() - 1


def held_rows(config: Config, tables: int, row_bytes: int) -> int:
    """Rows of every table that the static cache holds when all tables share it evenly."""
    lane_tables = -(-tables // config.gather_lanes)
    rows = _sets(config, row_bytes) * config.cache_ways // lane_tables
    return 1 << max(1, rows).bit_length() - 1


@dataclass(kw_only=True)
class GatherTimes:
    """What a run took."""

    cycles: int
    """From the first id that a lane decides on to the last row word."""
    lookups: int
    by_lane: list[int]
    """Row words that each lane handed over."""
    static_hits: int = 0
    misses: int = 0
    line_beats: int = 0
    """Beats of rows, of all lanes."""
    beats: int = 0
    """All beats of these cycles, of records as well."""
    cycles_per_beat: float = 0.0
    """Of all beats, on a channel, the first and the last tenth left out."""


@dataclass(kw_only=True)
class GatherScene:
    """Items to look up.

    Parameters
    ----------
    rows
        Rows of each table.
    row_bytes
        Of all tables.
    ids
        [items, tables]
    cached
        Rows ``0 .. cached - 1`` of every table lie in the static cache.
    dense
        Dense values of a record. Where there are any, loaders take those of all row blocks first,
        in cycles in which lanes get no ids; 0: lookups alone.
    """

    config: Config
    rows: int
    row_bytes: int
    ids: NDArray[np.uint32]
    cached: int = 0
    dense: int = DENSE
    seed: int = 1
    memory: NDArray[np.uint8] = field(init=False)
    bases: list[int] = field(init=False)
    pitch: int = field(init=False)
    ids_offset: int = field(init=False)

    def __post_init__(self) -> None:
        items, tables = self.ids.shape
        layout = record_layout(self.config, dense=self.dense, ids=tables)
        self.pitch, self.ids_offset = layout.pitch, layout.ids_offset
        size = -(-self.rows * self.row_bytes // 4096) * 4096
        self.bases = [_TABLES + n * size for n in range(tables)]
        random = np.random.default_rng(self.seed)
        self.memory = random.integers(0, 256, _TABLES + tables * size, np.uint8)
        if items * self.pitch > _TABLES:
            raise ValueError(f"{items} items do not fit {_TABLES} bytes of records")
        words = np.ascontiguousarray(self.ids.astype("<u4")).view(np.uint8)
        for item in range(items):
            start = item * self.pitch + self.ids_offset
            self.memory[start : start + words.shape[1]] = words[item]

    def row(self, table: int, id_: int) -> bytes:
        """Bytes of a row."""
        start = self.bases[table] + id_ * self.row_bytes
        return self.memory[start : start + self.row_bytes].tobytes()

    def config_words(self) -> list[tuple[Target, int, int, int]]:
        """(target, lane, address, value) of descriptors and static cache."""
        config = self.config
        tables = self.ids.shape[1]
        words: list[tuple[Target, int, int, int]] = []
        places = [bank_place(config, 1 + table) for table in range(tables)]
        last = dict(places)
        ways = config.cache_ways
        sets = _sets(config, self.row_bytes)
        region = pack(CACHE_REGION, {"log2_sets": sets.bit_length() - 1})
        used: dict[tuple[int, int], int] = {}
        rows: dict[tuple[int, int], int] = {}  # (lane, 8-byte word) -> value
        for table, (lane, k) in enumerate(places):
            seed = k * self.cached & 0xFFFF
            fields = {
                "base": self.bases[table],
                "log2_row_bytes": self.row_bytes.bit_length() - 1,
                "offset": k * self.row_bytes % config.bank_bytes_at(0, 0),
                "cached": self.cached > 0,
                "rows": self.rows,
                "seed": seed,
                "table": table,
                "multiplier": IDENTITY[0],
                "shift": IDENTITY[1],
                "pool_first": 1,
                "pool_last": 1,
                "item_last": last[lane] == k,
            }
            bits = pack(FEATURE, fields)
            for part in range(FEATURE_WORDS):
                value = bits >> 64 * part & (1 << 64) - 1
                words.append((Target.FEATURES, lane, k * FEATURE_WORDS + part, value))
            for id_ in range(self.cached):
                index = (id_ ^ seed) & (sets - 1)
                way = used.get((lane, index), 0)
                if way == ways:
                    raise ValueError(f"{self.cached} rows of {tables} tables do not fit the cache")
                used[lane, index] = way + 1
                tag = pack(CACHE_TAG, {"valid": 1, "table": table, "id": id_})
                words.append((Target.CACHE_TAGS, lane, index * ways + way, tag))
                start = (index * ways + way) * self.row_bytes
                for at, value in enumerate(self.row(table, id_), start):
                    key = (lane, at // 8)
                    rows[key] = rows.get(key, 0) | value << 8 * (at % 8)
        words += [(Target.CACHE_REGIONS, lane, 0, region) for lane in range(config.gather_lanes)]
        words += [(Target.CACHE_DATA, lane, at, value) for (lane, at), value in rows.items()]
        return words

    def jobs(self) -> list[dict[str, int]]:
        """Row blocks, engines in turns."""
        config = self.config
        items, tables = self.ids.shape
        return [
            {
                "unit": config.anchors[number % len(config.anchors)],
                "features": tables,
                "rows": min(config.rows, items - first),
                "position": first,
                "stride": 1,
                "first": 1,
                "pitch": self.pitch,
                "dense_bytes": self.dense,
                "ids_offset": self.ids_offset,
            }
            for number, first in enumerate(range(0, items, config.rows))
        ]

    def expected(self) -> dict[tuple[int, int], deque[int]]:
        """Bytes of (engine, lane), in order."""
        out: dict[tuple[int, int], deque[int]] = {}
        places = [bank_place(self.config, 1 + t) for t in range(self.ids.shape[1])]
        for job in self.jobs():
            for item in range(job["position"], job["position"] + job["rows"]):
                for table, (lane, _) in enumerate(places):
                    row = self.row(table, int(self.ids[item, table]))
                    out.setdefault((job["unit"], lane), deque()).extend(row)
        return out


class _Top(Elaboratable):
    """Embedding unit behind the crossbar."""

    def __init__(self, config: Config) -> None:
        self.config = config
        self.unit = EmbeddingUnit(config=config)
        self.crossbar = ReadCrossbar(config=config)

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.unit = self.unit
        m.submodules.crossbar = self.crossbar
        config = self.config
        names = [f"read_record_{n}" for n in range(config.record_loaders)]
        names += [f"read_lane_{n}" for n in range(config.gather_lanes)]
        first = config.read_requesters - len(names)
        for number, name in enumerate(names, start=first):
            wiring.connect(m, getattr(self.unit, name), self.crossbar.requester[number])
        return m


class _Run:
    """Processes of one simulation."""

    def __init__(self, scene: GatherScene, dram: Dram) -> None:
        self.scene, self.dram, self.config = scene, dram, scene.config
        self.top = _Top(scene.config)
        self.cycle = 0
        self.first = self.last = 0
        self.ready = False
        self.lookups = self.static_hits = self.misses = 0
        self.words = [0] * self.config.gather_lanes
        self.left = scene.expected()
        self.line_beats = 0
        self.beat_cycles: list[int] = []

    @property
    def done(self) -> bool:
        return not any(self.left.values())

    @property
    def cycles_per_beat(self) -> float:
        """Of a channel, without the first and the last tenth of the beats."""
        cycles = self.beat_cycles
        first, last = len(cycles) // 10, len(cycles) * 9 // 10
        if last <= first:
            return 0.0
        return (cycles[last] - cycles[first]) * self.config.axi_channels / (last - first)

    async def host(self, ctx: Any) -> None:
        """LOADs, then all jobs as fast as they are taken."""
        unit: Any = self.top.unit
        ctx.set(unit.can_allocate, (1 << self.config.sub_arrays) - 1)
        for port in unit.o_dense:
            ctx.set(port.ready, 1)
        for target, lane, address, value in self.scene.config_words():
            ctx.set(
                unit.config_write,
                {"valid": 1, "target": int(target), "unit": lane, "address": address,
                 "data": value},
            )  # fmt: skip
            await ctx.tick()
        ctx.set(unit.config_write.valid, 0)
        await ctx.tick().repeat(_SETTLE + self.config.lane_look_ahead_bytes // 256)
        self.ready = True
        for job in self.scene.jobs():
            ctx.set(unit.i_job.payload, job)
            ctx.set(unit.i_job.valid, 1)
            await ctx.tick().until(unit.i_job.ready)
        ctx.set(unit.i_job.valid, 0)
        while not self.done:
            await ctx.tick()

    async def watch(self, ctx: Any) -> None:
        """Row words and outcomes of all lanes: registers, read as plain numbers for speed."""
        unit: Any = self.top.unit
        pairs = [
            (lane, unit.row_write[lane].as_value(), unit.lookup[lane].as_value())
            for lane in range(self.config.gather_lanes)
        ]
        outcomes = lookup_event_layout(self.config)
        static, missed = (1 << outcomes[name].offset for name in ("static_hit", "miss"))
        fields = row_write_layout(self.config)
        places = [
            (fields[n].offset, (1 << fields[n].width) - 1) for n in ("unit", "enable", "data")
        ]
        async for _ in ctx.tick():
            self.cycle += 1
            for lane, write, lookup in pairs:
                event = ctx.get(lookup)
                if event & 1:  # valid is the first field of both
                    self.first = self.first or self.cycle
                    self.lookups += 1
                    self.static_hits += event & static != 0
                    self.misses += event & missed != 0
                word = ctx.get(write)
                if word & 1:
                    self._check(lane, *(word >> offset & mask for offset, mask in places))

    def _check(self, lane: int, unit: int, enable: int, word: int) -> None:
        self.last = self.cycle
        self.words[lane] += 1
        want = self.left[unit, lane]
        for at, value in enumerate(word.to_bytes(self.config.lane_bytes, "little")):
            if enable >> at // 4 & 1 and want.popleft() != value:
                raise ValueError(f"lane {lane}: a row word differs from the table")

    def channel(self, number: int) -> Any:
        """One AXI channel's memory."""
        config = self.config
        size, memory = config.axi_bytes, self.scene.memory
        lanes_from = config.read_requesters - config.gather_lanes

        async def serve(ctx: Any) -> None:
            axi: Any = self.top.crossbar.axi[number]
            model = DramChannel(
                self.dram, beat_bytes=size, channel=number, channels=config.axi_channels
            )
            held = False
            while True:
                ready = model.ready
                ctx.set(axi.arready, ready)
                _, _, valid, taken, ident, address, length = await ctx.tick().sample(
                    axi.arvalid, axi.rready, axi.arid, axi.araddr, axi.arlen
                )
                if valid and ready:
                    model.ask(ident, address, length + 1)
                room = not held or bool(taken)
                beat = model.step(room)
                if not room:
                    continue
                held = beat is not None
                ctx.set(axi.rvalid, held)
                if beat is not None:
                    self.beat_cycles.append(self.cycle)
                    self.line_beats += (beat.ident >> config.tag_bits) >= lanes_from
                    value = memory[beat.address : beat.address + size].tobytes()
                    ctx.set(axi.rdata, int.from_bytes(value, "little"))
                    ctx.set(axi.rid, beat.ident)
                    ctx.set(axi.rlast, beat.last)

        return serve


def run_unit(scene: GatherScene, dram: Dram, *, limit: int) -> GatherTimes:
    """Look all items up, as fast as the unit goes.

    Raises
    ------
    ValueError
        A row word differs from the table, or ``limit`` cycles are over.
    """
    bench = _Run(scene, dram)
    sim = Simulator(bench.top)
    sim.add_clock(1e-6)
    sim.add_testbench(bench.host)
    for number in range(scene.config.axi_channels):
        sim.add_testbench(bench.channel(number), background=True)
    sim.add_testbench(bench.watch, background=True)
    while sim.advance():
        if bench.cycle > limit:
            raise ValueError(f"not done after {limit} cycles")
    return GatherTimes(
        cycles=bench.last - bench.first + 1,
        lookups=bench.lookups,
        by_lane=bench.words,
        static_hits=bench.static_hits,
        misses=bench.misses,
        line_beats=bench.line_beats,
        beats=sum(cycle >= bench.first for cycle in bench.beat_cycles),
        cycles_per_beat=bench.cycles_per_beat,
    )
