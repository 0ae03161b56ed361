"""Static cache of one gather lane: hot rows chosen offline, written by LOAD, never replaced."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from ..program import ALL_UNITS, CACHE_REGION, CACHE_TAG, Target
from .lane_layouts import checked_id_layout, tagged_id_layout

__all__ = ["CacheRows", "CacheTags", "check_lane", "selected"]

_ROW_BYTES = 8
"""Row data bytes per tag entry: the cache holds one tag for every 8 bytes of row data."""


def check_lane(config: Config, lane: int) -> int:
    """The lane number, or ValueError."""
    if not 0 <= lane < config.gather_lanes:
        raise ValueError(f"lane must be in 0..{config.gather_lanes - 1}, not {lane!r}")
    return lane


def selected(write: Any, target: Target, lane: int) -> Value:
    """A LOAD word for this target in this lane is on the broadcast."""
    unit = (write.unit == lane) | (write.unit == ALL_UNITS)
    return write.valid & (write.target == target) & unit


class CacheTags(wiring.Component):
    """Compares the tags of a lookup's set.

    ``set = set_base + index`` with ``index = (id ^ seed) & (2**log2_sets - 1)`` of the feature's
    region; a hit needs a valid tag with the same table and id in any way of the set, and
    ``cached``, and an id that is not ``zero``. The row then lies at
    ``data_base + ((index * ways + way) << log2_row_bytes)``: ``data_base`` belongs to the region's
    first set and is a multiple of the row size; all tables of a region share one row size.

    One lookup a cycle, in order, latency 6 cycles; the pipeline stands still while ``o`` is
    refused.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane, the ``unit`` of its LOADs.

    Members
    -------
    i
        Lookups.
    o
        Lookups with their outcome.
    config_write
        ``CACHE_TAGS`` and ``CACHE_REGIONS``; not while lookups are in flight. Written a cycle
        later.
    idle
        No lookup is held.
    """

    i: stream.Interface
    o: stream.Interface
    config_write: data.View
    idle: Value

    LATENCY = 6
    """Cycles from a lookup to its outcome: region, set number, tags read, tags, comparison, way."""

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        super().__init__(
            {
                "i": In(stream.Signature(checked_id_layout(config))),
                "o": Out(stream.Signature(tagged_id_layout(config))),
                "config_write": In(config_write_layout(config)),
                "idle": Out(1),
            }
        )

    @property
    def sets(self) -> int:
        """Sets of the tag memory, shared by the regions."""
        return max(1, self._config.lane_cache_bytes // (_ROW_BYTES * self._config.cache_ways))

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        ways = config.cache_ways
        log2_ways = ways.bit_length() - 1
        set_bits = (self.sets - 1).bit_length()
        shares = data.StructLayout(
            {
                "set_base": unsigned(set_bits),
                "sets": unsigned(set_bits),  # their number less 1
                "data_base": unsigned(20),
            }
        )
        regions: Any = Signal(data.ArrayLayout(shares, 4))
        tags = self._memories(m, regions)

        move = Signal()
        m.d.comb += [move.eq(~self.o.valid | self.o.ready), self.i.ready.eq(move)]

        # Stage 1: the region.
        new = self.i.payload
        region: Any = Signal(regions.shape().elem_shape, reset_less=True)
        # Stage 2: set number. Stage 3: tags read, and the address of way 0.
        index = Signal(set_bits)
        set_2, index_2 = Signal(set_bits), Signal(set_bits)
        base_2, base_3 = Signal(20), Signal(20)
        # Stage 4: a register behind the memory, which takes half a cycle.
        base_4 = Signal(20)
        read: Any = Signal.like(tags.data, reset_less=True)
        # Stage 5: comparison.
        match = Signal(ways)
        base_5 = Signal(20)
        # Stage 6, the output: outcome.
        hit = Signal()
        way = Signal(log2_ways)
        requests: list[Any] = [
            Signal(checked_id_layout(config), name=f"request_{stage}", reset_less=True)
            for stage in range(1, self.LATENCY)
        ]
        valid = Signal(self.LATENCY - 1)
        first, second, compared, last = requests[0], requests[1], requests[-2], requests[-1]
        m.d.comb += [
            index.eq((first.id ^ first.seed) & region.sets),
            tags.addr.eq(set_2),
            tags.en.eq(move),
            hit.eq(match.any() & last.cached & ~last.zero),
        ]
        for number in range(ways):
            tag = data.View(CACHE_TAG, read[number])
            with m.If(move):
                m.d.sync += match[number].eq(
                    tag.valid & (tag.table == compared.table) & (tag.id == compared.id)
                )
            with m.If(match[number]):
                m.d.comb += way.eq(number)
        with m.If(move):
            m.d.sync += [
                Cat(valid, self.o.valid).eq(Cat(self.i.valid, valid)),
                region.eq(regions[new.region]),
                set_2.eq(index + region.set_base),
                index_2.eq(index),
                base_2.eq(region.data_base),
                base_3.eq(base_2 + ((index_2 << log2_ways) << second.log2_row_bytes)),
                read.eq(tags.data),
                base_4.eq(base_3),
                self.o.payload.lookup.eq(last),
                self.o.payload.hit.eq(hit),
                base_5.eq(base_4),
                self.o.payload.address.eq(base_5 + (way << last.log2_row_bytes)),
            ]
            for before, behind in zip((new, *requests), requests, strict=False):
                m.d.sync += behind.eq(before)
        m.d.comb += self.idle.eq(~valid.any() & ~self.o.valid)
        return m

    def _memories(self, m: Module, regions: Any) -> Any:
        """Tag memory and region registers with their LOAD ports; returns the tags' read port."""
        config = self._config
        ways = config.cache_ways
        log2_ways = ways.bit_length() - 1
        shape = data.ArrayLayout(CACHE_TAG.size, ways)
        tags: Any = memory.Memory(shape=shape, depth=self.sets, init=[])
        m.submodules.tags = tags
        new = self.config_write
        write = tags.write_port(granularity=1)
        mine = selected(new, Target.CACHE_TAGS, self._lane) & (new.address < self.sets * ways)
        # Where a word goes is worked out a cycle before it is written.
        m.d.sync += [
            write.addr.eq(new.address >> log2_ways),
            write.data.as_value().eq(new.data[: CACHE_TAG.size].replicate(ways)),
            write.en.eq(Mux(mine, Const(1) << new.address[:log2_ways], 0)),
        ]
        written = data.View(CACHE_REGION, new.data[: CACHE_REGION.size])
        share: Any = Signal(regions.shape().elem_shape, reset_less=True)
        m.d.sync += [
            share.set_base.eq(written.set_base),
            share.sets.eq((1 << written.log2_sets) - 1),
            share.data_base.eq(written.data_base),
        ]
        mine = selected(new, Target.CACHE_REGIONS, self._lane) & (new.address < len(regions))
        for number in range(len(regions)):
            here = Signal(name=f"region_{number}_written")
            m.d.sync += here.eq(mine & (new.address[:2] == number))
            with m.If(here):
                m.d.sync += regions[number].eq(share)
        return tags.read_port(domain="sync")


class CacheRows(wiring.Component):
    """Row data of one lane: a word of ``lane_bytes`` a cycle, read one cycle after its address.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane, the ``unit`` of its LOADs.

    Members
    -------
    address, enable, data
        Word address; read in this cycle; the word read last.
    config_write
        ``CACHE_DATA``, 8 bytes a word; written a cycle later.
    """

    address: Value
    enable: Value
    data: Any
    config_write: Any

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        self._depth = max(1, config.lane_cache_bytes // config.lane_bytes)
        super().__init__(
            {
                "address": In((self._depth - 1).bit_length()),
                "enable": In(1),
                "data": Out(8 * config.lane_bytes),
                "config_write": In(config_write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        parts = self._config.lane_bytes // 8
        log2_parts = parts.bit_length() - 1
        rows: Any = memory.Memory(
            shape=data.ArrayLayout(unsigned(64), parts), depth=self._depth, init=[]
        )
        m.submodules.rows = rows
        read = rows.read_port(domain="sync")
        m.d.comb += [
            read.addr.eq(self.address),
            read.en.eq(self.enable),
            self.data.eq(read.data.as_value()),
        ]
        new = self.config_write
        write = rows.write_port(granularity=1)
        mine = selected(new, Target.CACHE_DATA, self._lane) & (new.address < self._depth * parts)
        m.d.sync += [
            write.addr.eq(new.address >> log2_parts),
            write.data.as_value().eq(new.data[:64].replicate(parts)),
            write.en.eq(Mux(mine, Const(1) << new.address[:log2_parts], 0)),
        ]
        return m
