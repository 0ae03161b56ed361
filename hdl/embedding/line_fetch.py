"""Fetches of lines from device memory: one burst a line, several outstanding, in any order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import LINE_BYTES, Config
from ..interfaces import read_port_signature, read_request_layout, read_response_layout
from ..queue import Queue
from .lane_layouts import filled_layout, line_request_layout, line_write_layout
from .line_geometry import LineGeometry
from .read_slots import ReadSlots

__all__ = ["LineFetch"]


class LineFetch(wiring.Component):
    """Reads lines and writes their beats into the line memory as they come.

    A fetch holds a slot from the request to its last beat; the slot's number is the tag of the
    burst. Beats are never refused, so nothing that waits for a line can hold up another one's
    beats. Latency: a cycle from ``i`` to the request, one from a beat to ``write``.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Lines to be fetched; refused while all slots are taken.
    read
        Read port.
    write
        A beat for the line memory.
    filled
        With the last beat of a line on ``write``. The line counts as being fetched in this cycle
        and not in the next one, in which it can be read.
    set, busy_ways
        Lines of the set that are being fetched, in the same cycle.
    line, busy
        Whether the line is being fetched, in the same cycle.
    idle
        No fetch is outstanding.
    """

    i: stream.Interface
    read: Any
    write: data.View
    filled: data.View
    set: Value
    busy_ways: Value
    line: Value
    busy: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        self._geometry = geometry = LineGeometry(config)
        super().__init__(
            {
                "i": In(stream.Signature(line_request_layout(config))),
                "read": Out(read_port_signature(config)),
                "write": Out(line_write_layout(config)),
                "filled": Out(filled_layout(config)),
                "set": In(geometry.set_bits),
                "busy_ways": Out(geometry.ways),
                "line": In(geometry.line_bits),
                "busy": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config, geometry = self._config, self._geometry
        count = config.reads_per_lane
        m.submodules.slots = slots = ReadSlots(count=count)
        # Two entries: a request a cycle without a path from the bus to the tags.
        m.submodules.requests = requests = Queue(shape=read_request_layout(config), depth=2)
        wiring.connect(m, requests.o, wiring.flipped(self.read.request))
        lines: Any = Signal(data.ArrayLayout(unsigned(geometry.line_bits), count))
        active = Signal(count)
        take = self.i.valid & self.i.ready
        request = requests.i.payload
        m.d.comb += [
            self.i.ready.eq(slots.valid & requests.i.ready),
            slots.take.eq(take),
            requests.i.valid.eq(take),
            request.address.eq(self.i.payload.address << (LINE_BYTES.bit_length() - 1)),
            request.beats.eq(geometry.beats - 1),
            request.tag.eq(slots.slot),
            self.idle.eq(slots.idle),
        ]
        with m.If(take):
            m.d.sync += lines[slots.slot].eq(self.i.payload.line)

        ends, slot = self._beats(m, slots, lines)
        with m.If(ends):
            m.d.sync += active.bit_select(slot, 1).eq(0)
        with m.If(take):
            m.d.sync += active.bit_select(slots.slot, 1).eq(1)
        self._busy(m, lines, active, count)
        return m

    def _beats(self, m: Module, slots: ReadSlots, lines: Any) -> tuple[Value, Value]:
        """Beats on their way to the line memory; returns (a fetch ends, its slot)."""
        count = self._config.reads_per_lane
        beat: Any = Signal(read_response_layout(self._config))
        beat_valid = Signal()
        slot = beat.tag[: len(slots.slot)]
        failed = Signal(count)
        error = beat.error | failed.bit_select(slot, 1)
        ends = beat_valid & beat.last
        m.d.comb += [
            self.read.response.ready.eq(1),
            self.write.valid.eq(beat_valid),
            self.write.line.eq(lines[slot]),
            self.write.data.eq(beat.data),
            self.filled.valid.eq(ends),
            self.filled.line.eq(lines[slot]),
            self.filled.error.eq(error),
            slots.release.eq(ends),
            slots.released.eq(slot),
        ]
        m.d.sync += [beat_valid.eq(self.read.response.valid), beat.eq(self.read.response.payload)]
        if self._geometry.beats > 1:
            # The number of beats is a power of two: the count is back at 0 when a burst has ended.
            bits = (self._geometry.beats - 1).bit_length()
            number: Any = Signal(data.ArrayLayout(unsigned(bits), count))
            m.d.comb += self.write.beat.eq(number[slot])
            with m.If(beat_valid):
                m.d.sync += number[slot].eq(number[slot] + 1)
        with m.If(beat_valid):
            m.d.sync += failed.bit_select(slot, 1).eq(error & ~beat.last)
        return ends, slot

    def _busy(self, m: Module, lines: Any, active: Signal, count: int) -> None:
        """Compare both questions with all slots."""
        geometry = self._geometry
        at_line = [active[n] & (lines[n] == self.line) for n in range(count)]
        m.d.comb += self.busy.eq(Cat(at_line) != 0)
        in_set = [active[n] & (lines[n][geometry.way_bits :] == self.set) for n in range(count)]
        for way in range(geometry.ways):
            m.d.comb += self.busy_ways[way].eq(
                Cat(in_set[n] & (lines[n][: geometry.way_bits] == way) for n in range(count)) != 0
            )
