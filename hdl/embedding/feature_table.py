"""Feature descriptors of one gather lane: what turns an id into a checked lookup of a row."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, lane_id_layout
from ..program import EMPTY_ID, FEATURE, FEATURE_WORDS, Target
from .lane_layouts import checked_id_layout
from .static_cache import check_lane, selected

__all__ = ["FeatureTable"]

_USED_WORDS = 3
"""Words of a descriptor that are stored: the last one is empty."""
_IDENTITY = (32768, 15)
"""(multiplier, shift) that leave a sum as it is."""


class FeatureTable(wiring.Component):
    """Looks up the descriptor of (program, k) and makes a lookup of each id.

    ``address = base + (id << log2_row_bytes)``, modulo the address width; ``target`` = base of the
    vector slot + the feature's offset. ``bad`` when the id is at or above the row count;
    ``EMPTY_ID`` in a bag of several words is not bad. ``pooled`` when the row is summed with others
    or its values are requantised.

    One id a cycle, latency 3 cycles. The pipeline stands still while ``o`` is refused.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane, the ``unit`` of its LOADs.

    Members
    -------
    i
        Ids.
    o
        Lookups.
    config_write
        ``Target.FEATURES``; not while ids are in flight. Written a cycle later.
    idle
        No id is held.
    """

    i: stream.Interface
    o: stream.Interface
    config_write: data.View
    idle: Value

    LATENCY = 3
    """Cycles from an id to its lookup: descriptor read, descriptor, checks."""

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        super().__init__(
            {
                "i": In(stream.Signature(lane_id_layout(config))),
                "o": Out(stream.Signature(checked_id_layout(config))),
                "config_write": In(config_write_layout(config)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        word_bits = (config.lane_words - 1).bit_length()
        program_bits = (config.max_programs - 1).bit_length()

        # Stage 1: descriptor read. Stage 2: a register behind the memory, which takes half a cycle.
        # Stage 3, the output: checks. No stage moves while o is refused.
        move = Signal()
        reading: Any = Signal(lane_id_layout(config), reset_less=True)
        held: Any = Signal(lane_id_layout(config), reset_less=True)
        reading_valid, held_valid = Signal(), Signal()
        read = self._table(m)
        words = Signal(64 * _USED_WORDS, reset_less=True)
        feature = data.View(FEATURE, Cat(words, Signal(64, name="word_3")))
        new = self.i.payload
        m.d.comb += [
            move.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(move),
            read.en.eq(move),
            read.addr.eq(Cat(new.k[:word_bits], new.program[:program_bits])),
            self.idle.eq(~reading_valid & ~held_valid & ~self.o.valid),
        ]
        single = feature.pool_first & feature.pool_last
        identity = (feature.multiplier == _IDENTITY[0]) & (feature.shift == _IDENTITY[1])
        empty = ~single & (held.id == EMPTY_ID)
        outside = held.id >= feature.rows
        out = self.o.payload
        base, offset = Signal.like(out.address), Signal.like(out.address)
        m.d.comb += out.address.eq(base + offset)  # what comes next has time for the sum
        with m.If(move):
            m.d.sync += [
                reading_valid.eq(self.i.valid),
                reading.eq(new),
                held_valid.eq(reading_valid),
                held.eq(reading),
                words.eq(read.data.as_value()),
                self.o.valid.eq(held_valid),
                out.target.eq(held.base + feature.offset),
                base.eq(feature.base),
                offset.eq(held.id << feature.log2_row_bytes),
                out.zero.eq(empty | outside),
                out.bad.eq(outside & ~empty),
                out.pooled.eq(~(single & identity)),
            ]
            for name in ("unit", "id", "query", "prefetch", "loader"):
                m.d.sync += out[name].eq(held[name])
            for name in (
                "log2_row_bytes", "cached", "table", "seed", "region",
                "pool_first", "pool_last", "multiplier", "shift", "item_last",
            ):  # fmt: skip
                m.d.sync += out[name].eq(feature[name])
        return m

    def _table(self, m: Module) -> Any:
        """Descriptor memory with its LOAD port; returns its read port."""
        depth = self._config.lane_words * self._config.max_programs
        table: Any = memory.Memory(shape=data.ArrayLayout(64, _USED_WORDS), depth=depth, init=[])
        m.submodules.table = table
        new = self.config_write
        write = table.write_port(granularity=1)
        log2_words = FEATURE_WORDS.bit_length() - 1
        mine = selected(new, Target.FEATURES, self._lane) & (new.address < FEATURE_WORDS * depth)
        # Where a word goes is worked out a cycle before it is written.
        m.d.sync += [
            write.addr.eq(new.address >> log2_words),
            write.data.as_value().eq(new.data[:64].replicate(_USED_WORDS)),
            # The empty word shifts out of the enables.
            write.en.eq(Mux(mine, 1 << new.address[:log2_words], 0)),
        ]
        return table.read_port(domain="sync")
