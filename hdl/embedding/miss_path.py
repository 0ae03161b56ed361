"""Rows from device memory: one burst a row, several outstanding, back in any order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import (
    lane_request_layout,
    read_port_signature,
    read_response_layout,
    row_write_layout,
)
from ..queue import Queue
from .granules import GRANULE_BYTES, granule_enable, place_granules
from .read_slots import ReadSlots

__all__ = ["WAITING", "MissPath"]

WAITING = 4
"""Misses that wait for a slot or the bus."""


class MissPath(wiring.Component):
    """Reads rows and hands them over in words of min(row bytes, D, lane_bytes), one a cycle.

    A row is one burst; its tag is the number of its outstanding slot. Beats of different tags may
    be mixed. A beat stays in a register until its last word is taken, then the next one follows
    without a gap: the bus waits for nothing but ``o``. Rows are aligned to their size, so a burst
    never crosses 4 KB. A burst ends when its row is complete.

    Latency: two cycles from ``i`` to the request, one from a beat to its first word.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Misses.
    o
        Words for the vector buffers.
    read
        Read port.
    bus_error
        One cycle for each beat with an error; its data is handed over all the same.
    idle
        Nothing waits, nothing is outstanding.
    """

    i: stream.Interface
    o: stream.Interface
    read: Any
    bus_error: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._log2_beat = config.axi_bytes.bit_length() - 1
        # What a beat needs to know of its row; the address within a beat is enough.
        self._slot_layout = data.StructLayout(
            {
                "unit": unsigned(8),
                "index": unsigned(4),
                "offset": unsigned(13),
                "log2_row_bytes": unsigned(4),
                "start": unsigned(self._log2_beat),
            }
        )
        super().__init__(
            {
                "i": In(stream.Signature(lane_request_layout(config))),
                "o": Out(stream.Signature(row_write_layout(config))),
                "read": Out(read_port_signature(config)),
                "bus_error": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        # A few misses may wait for a slot or the bus before they stop the hits behind them.
        m.submodules.waiting = waiting = Queue(shape=lane_request_layout(config), depth=WAITING)
        m.submodules.slots = slots = ReadSlots(count=config.reads_per_lane)
        rows: Any = memory.Memory(shape=self._slot_layout, depth=config.reads_per_lane, init=[])
        m.submodules.rows = rows
        wiring.connect(m, wiring.flipped(self.i), waiting.i)
        m.d.comb += self.idle.eq((waiting.level == 0) & slots.idle)
        self._issue(m, waiting, slots, rows.write_port())

        # One beat in a register, with its row's slot read beside it.
        response = self.read.response
        beat = Signal(read_response_layout(config))
        beat_valid = Signal()
        beat_done = Signal()
        read = rows.read_port(domain="sync")
        m.d.comb += [
            response.ready.eq(~beat_valid | beat_done),
            read.addr.eq(response.payload.tag),
            read.en.eq(response.valid & response.ready),
        ]
        with m.If(response.ready):
            m.d.sync += [beat_valid.eq(response.valid), beat.eq(response.payload)]
        m.d.sync += self.bus_error.eq(response.valid & response.ready & response.payload.error)
        self._hand_over(m, beat, beat_valid, beat_done, read.data, slots)
        return m

    def _issue(self, m: Module, waiting: Queue, slots: ReadSlots, write: Any) -> None:
        """One burst for each waiting row that finds a slot."""
        miss = waiting.o.payload
        request = self.read.request
        log2_beat = self._log2_beat
        take = request.valid & request.ready
        m.d.comb += [
            request.valid.eq(waiting.o.valid & slots.valid),
            request.payload.address.eq((miss.address >> log2_beat) << log2_beat),
            request.payload.beats.eq(((1 << miss.log2_row_bytes) - 1) >> log2_beat),
            request.payload.tag.eq(slots.slot),
            waiting.o.ready.eq(take),
            slots.take.eq(take),
            write.addr.eq(slots.slot),
            write.en.eq(take),
            write.data.start.eq(miss.address[:log2_beat]),
        ]
        for name in ("unit", "index", "offset", "log2_row_bytes"):
            m.d.comb += write.data[name].eq(miss[name])

    def _hand_over(
        self, m: Module, beat: Any, beat_valid: Value, beat_done: Value, row: Any, slots: ReadSlots
    ) -> None:
        """Cut the held beat into words and place them."""
        config = self._config
        lane_granules = config.lane_bytes // GRANULE_BYTES
        log2_lane = config.lane_bytes.bit_length() - 1
        log2_beat = self._log2_beat
        log2_piece = Signal(4)
        # Bytes of each row handed over so far: its beats need not come in one go.
        progress = Signal(data.ArrayLayout(unsigned(8), config.reads_per_lane))
        done = Signal(8)
        following = Signal(8)
        last = Signal()
        smallest = min(log2_beat, log2_lane)
        m.d.comb += [
            log2_piece.eq(Mux(row.log2_row_bytes < smallest, row.log2_row_bytes, smallest)),
            done.eq(progress[beat.tag]),
            following.eq(done + (1 << log2_piece)),
            last.eq(following >= (1 << row.log2_row_bytes)),
        ]

        out = self.o.payload
        source = Signal(log2_beat)
        target = Signal(13)
        moved = self.o.valid & self.o.ready
        m.d.comb += [
            source.eq(row.start + done),
            target.eq(row.offset + done),
            self.o.valid.eq(beat_valid),
            out.valid.eq(beat_valid),
            out.unit.eq(row.unit),
            out.index.eq(row.index),
            out.address.eq((target >> log2_lane) << log2_lane),
            out.enable.eq(
                granule_enable(
                    target=target[2:log2_lane],
                    log2_granules=log2_piece - 2,
                    granules=lane_granules,
                )
            ),
            out.data.eq(
                place_granules(
                    beat.data,
                    source=source[2:],
                    log2_granules=log2_piece - 2,
                    granules=lane_granules,
                )
            ),
            out.last.eq(last),
            # The beat is used up when the next piece would start at its end.
            beat_done.eq(moved & (last | (following[:log2_beat] == 0))),
            slots.release.eq(moved & last),
            slots.released.eq(beat.tag),
        ]
        with m.If(moved):
            m.d.sync += progress[beat.tag].eq(Mux(last, 0, following))
