"""Feature descriptors: what turns an id into a checked lookup of a row."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout
from ..program import FEATURE, FEATURE_WORDS, Target
from .layouts import id_layout, routed_request_layout

__all__ = ["FeatureTable"]


class FeatureTable(wiring.Component):
    """Looks up the descriptor of (program, feature) and makes a lookup of each id.

    ``address = base + (id << log2_row_bytes)``, modulo the address width; ``offset`` = vector slot
    + the feature's offset; ``bad`` when the id is at or above the row count. One id a cycle,
    latency 2 cycles. The pipeline stands still while ``o`` is refused.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Ids.
    o
        Lookups and their lanes.
    config_write
        ``Target.FEATURES``; not while ids are in flight.
    idle
        No id is held.
    """

    i: stream.Interface
    o: stream.Interface
    config_write: data.View
    idle: Value

    LATENCY = 2
    """Cycles from an id to its lookup."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(id_layout(config))),
                "o": Out(stream.Signature(routed_request_layout(config))),
                "config_write": In(config_write_layout(config)),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        features, programs = config.max_features, config.max_programs
        feature_bits = (features - 1).bit_length()
        program_bits = (programs - 1).bit_length()
        depth = features * programs
        table: Any = memory.Memory(shape=data.ArrayLayout(64, FEATURE_WORDS), depth=depth, init=[])
        m.submodules.table = table

        new = self.config_write
        write = table.write_port(granularity=1)
        selected = new.valid & (new.target == Target.FEATURES)
        in_range = new.address < FEATURE_WORDS * depth
        m.d.comb += [
            write.addr.eq(new.address >> 1),
            write.data.as_value().eq(new.data[:64].replicate(FEATURE_WORDS)),
            write.en.eq(Mux(selected & in_range, 1 << new.address[0], 0)),
        ]

        # Stage 1: descriptor read. Stage 2, the output: sums. No stage moves while o is refused.
        move = Signal()
        held: Any = Signal(id_layout(config))
        held_valid = Signal()
        held_table = Signal(feature_bits + program_bits)
        new_table = Cat(
            self.i.payload.feature[:feature_bits], self.i.payload.program[:program_bits]
        )
        read = table.read_port(domain="sync")
        feature = data.View(FEATURE, read.data.as_value())
        m.d.comb += [
            move.eq(~self.o.valid | self.o.ready),
            self.i.ready.eq(move),
            read.en.eq(move),
            read.addr.eq(new_table),
            self.idle.eq(~held_valid & ~self.o.valid),
        ]
        request = self.o.payload.request
        with m.If(move):
            m.d.sync += [
                held_valid.eq(self.i.valid),
                held.eq(self.i.payload),
                held_table.eq(new_table),
                self.o.valid.eq(held_valid),
                self.o.payload.lane.eq(feature.lane),
                request.unit.eq(held.unit),
                request.index.eq(held.index),
                request.offset.eq(held.address + feature.offset),
                request.address.eq(feature.base + (held.id << feature.log2_row_bytes)),
                request.log2_row_bytes.eq(feature.log2_row_bytes),
                request.cached.eq(feature.cached),
                request.bad.eq(held.id >= feature.rows),
                request.table.eq(held_table),
                request.id.eq(held.id),
                request.seed.eq(feature.seed),
                request.region.eq(feature.region),
            ]
        return m
