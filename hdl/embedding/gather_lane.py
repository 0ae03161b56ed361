"""Gather lane: embedding rows of the tables it serves, from its static cache or device memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import (
    config_write_layout,
    lane_request_layout,
    read_port_signature,
    row_write_layout,
)
from .hit_path import HitPath
from .layouts import lookup_layout
from .miss_path import MissPath
from .static_cache import CacheTags, check_lane

__all__ = ["GatherLane"]


class GatherLane(wiring.Component):
    """Looks rows up and hands them over word by word, in any order.

    Hits are sustained at ceil(row bytes / lane_bytes) cycles a row, latency 5 cycles from ``i`` to
    ``row_write``. Misses are one burst each with ``reads_per_lane`` outstanding; hits behind a miss
    overtake it until a few misses wait for a slot. Words of a row that came from device memory go
    first. A bad id gives a row of zeros and touches neither cache nor memory.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane.

    Members
    -------
    i
        Checked lookups.
    row_write
        Words for the vector buffers.
    read
        Read port; the tag is the number of the outstanding slot.
    config_write
        ``CACHE_TAGS``, ``CACHE_DATA``, ``CACHE_REGIONS`` of this lane; not while lookups are in
        flight.
    lookup
        Event: one finished tag lookup.
    bad_id, bus_error
        One cycle for each bad id and for each beat with an error.
    idle
        Nothing is held or outstanding.
    """

    i: stream.Interface
    row_write: stream.Interface
    read: Any
    config_write: data.View
    lookup: data.View
    bad_id: Value
    bus_error: Value
    idle: Value

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        super().__init__(
            {
                "i": In(stream.Signature(lane_request_layout(config))),
                "row_write": Out(stream.Signature(row_write_layout(config))),
                "read": Out(read_port_signature(config)),
                "config_write": In(config_write_layout(config)),
                "lookup": Out(lookup_layout(config)),
                "bad_id": Out(1),
                "bus_error": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        m.submodules.tags = tags = CacheTags(config=config, lane=self._lane)
        m.submodules.hits = hits = HitPath(config=config, lane=self._lane)
        m.submodules.misses = misses = MissPath(config=config)
        wiring.connect(m, wiring.flipped(self.i), tags.i)
        wiring.connect(m, misses.read, wiring.flipped(self.read))
        m.d.comb += [
            tags.config_write.eq(self.config_write),
            hits.config_write.eq(self.config_write),
            self.bus_error.eq(misses.bus_error),
        ]

        found = tags.o.payload
        on_chip = found.hit | found.request.bad
        m.d.comb += [
            hits.i.payload.eq(found),
            misses.i.payload.eq(found.request),
            hits.i.valid.eq(tags.o.valid & on_chip),
            misses.i.valid.eq(tags.o.valid & ~on_chip),
        ]
        with m.If(on_chip):
            m.d.comb += tags.o.ready.eq(hits.i.ready)
        with m.Else():
            m.d.comb += tags.o.ready.eq(misses.i.ready)
        finished = tags.o.valid & tags.o.ready
        m.d.sync += [
            self.lookup.valid.eq(finished),
            self.lookup.hit.eq(found.hit),
            self.lookup.bad.eq(found.request.bad),
            self.lookup.table.eq(found.request.table),
            self.lookup.id.eq(found.request.id),
        ]
        m.d.comb += self.bad_id.eq(self.lookup.valid & self.lookup.bad)

        # The choice is made at the input of a register, so it may change from cycle to cycle.
        move = Signal()
        m.d.comb += [
            move.eq(~self.row_write.valid | self.row_write.ready),
            misses.o.ready.eq(move),
            hits.o.ready.eq(move & ~misses.o.valid),
            self.idle.eq(tags.idle & misses.idle & ~hits.o.valid & ~self.row_write.valid),
        ]
        with m.If(move):
            m.d.sync += self.row_write.valid.eq(misses.o.valid | hits.o.valid)
            with m.If(misses.o.valid):
                m.d.sync += self.row_write.payload.eq(misses.o.payload)
            with m.Else():
                m.d.sync += self.row_write.payload.eq(hits.o.payload)
        return m
