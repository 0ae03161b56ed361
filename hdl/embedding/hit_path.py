"""Rows that need no device memory: hits from the static cache, zeros for bad ids."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import config_write_layout, row_write_layout
from .granules import GRANULE_BYTES, granule_enable, place_granules
from .layouts import cache_lookup_layout
from .static_cache import CacheRows, check_lane

__all__ = ["HitPath"]


class HitPath(wiring.Component):
    """Hands over a row in ceil(row bytes / lane_bytes) words, one a cycle, rows back to back.

    Latency one cycle from ``i`` to the first word. A lookup stays at ``i`` until its last word is
    read. Lookups that are not hits give zeros.

    Parameters
    ----------
    config
        The device.
    lane
        Number of the lane.

    Members
    -------
    i
        Hits and bad ids.
    o
        Words for the vector buffers.
    config_write
        Passed on to the row data.
    """

    i: stream.Interface
    o: stream.Interface
    config_write: data.View

    def __init__(self, *, config: Config, lane: int) -> None:
        self._config = config
        self._lane = check_lane(config, lane)
        super().__init__(
            {
                "i": In(stream.Signature(cache_lookup_layout(config))),
                "o": Out(stream.Signature(row_write_layout(config))),
                "config_write": In(config_write_layout(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        granules = config.lane_bytes // GRANULE_BYTES
        log2_lane = config.lane_bytes.bit_length() - 1
        granule_bits = log2_lane - 2
        m.submodules.rows = rows = CacheRows(config=config, lane=self._lane)

        lookup = self.i.payload
        request = lookup.request
        word = Signal(3)  # of the row: at most 128 / 16
        last_word = Signal(3)
        last = Signal()
        held: Any = Signal(
            data.StructLayout(
                {
                    "valid": 1,
                    "unit": unsigned(8),
                    "index": unsigned(4),
                    "address": unsigned(13),
                    "source": granule_bits,
                    "target": granule_bits,
                    "log2_granules": unsigned(3),
                    "zero": 1,
                    "last": 1,
                }
            )
        )
        move = Signal()
        m.d.comb += [
            move.eq(~held.valid | self.o.ready),
            last_word.eq(((1 << request.log2_row_bytes) - 1) >> log2_lane),
            last.eq(word == last_word),
            self.i.ready.eq(move & last),
            rows.config_write.eq(self.config_write),
            rows.address.eq((lookup.address >> log2_lane) + word),
            rows.enable.eq(move & self.i.valid),
        ]
        with m.If(move):
            m.d.sync += [
                held.valid.eq(self.i.valid),
                held.unit.eq(request.unit),
                held.index.eq(request.index),
                held.address.eq(((request.offset >> log2_lane) + word) << log2_lane),
                held.source.eq(lookup.address[2:log2_lane]),
                held.target.eq(request.offset[2:log2_lane]),
                held.log2_granules.eq(Mux(last_word == 0, request.log2_row_bytes, log2_lane) - 2),
                held.zero.eq(~lookup.hit),
                held.last.eq(last),
            ]
            with m.If(self.i.valid):
                m.d.sync += word.eq(Mux(last, 0, word + 1))

        out = self.o.payload
        placed = place_granules(
            rows.data, source=held.source, log2_granules=held.log2_granules, granules=granules
        )
        m.d.comb += [
            self.o.valid.eq(held.valid),
            out.valid.eq(held.valid),
            out.unit.eq(held.unit),
            out.index.eq(held.index),
            out.address.eq(held.address),
            out.enable.eq(
                granule_enable(
                    target=held.target, log2_granules=held.log2_granules, granules=granules
                )
            ),
            out.data.eq(Mux(held.zero, 0, placed)),
            out.last.eq(held.last),
        ]
        return m
