"""Fetches of lines from device memory: one burst a line, several outstanding, in any order."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
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
    beats.

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
        Whether the line will be being fetched in the next cycle. From the third cycle after its
        request on.
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

    REQUEST_LATENCY = 1 + Queue.LATENCY
    """Cycles from ``i`` to the request: a register, a queue."""
    LATENCY = 2
    """Cycles from a beat to ``write``: a register, its line."""

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
        # A request a cycle without a path from the bus to the tags: there is room for what is on
        # its way while the queue holds less than two.
        m.submodules.requests = requests = Queue(shape=read_request_layout(config), depth=4)
        wiring.connect(m, requests.o, wiring.flipped(self.read.request))
        lines: Any = Signal(data.ArrayLayout(unsigned(geometry.line_bits), count))
        active = Signal(count)
        take = self.i.valid & self.i.ready
        # The tags decide late in a cycle: what follows from it has the next one.
        new: Any = Signal(line_request_layout(config), reset_less=True)
        new_slot = Signal.like(slots.slot, reset_less=True)
        new_valid = Signal()
        request = requests.i.payload
        m.d.comb += [
            self.i.ready.eq(slots.valid & (requests.level <= 2)),
            slots.take.eq(take),
            requests.i.valid.eq(new_valid),
            request.address.eq(new.address << (LINE_BYTES.bit_length() - 1)),
            request.beats.eq(geometry.beats - 1),
            request.tag.eq(new_slot),
        ]
        m.d.sync += [new.eq(self.i.payload), new_slot.eq(slots.slot), new_valid.eq(take)]
        with m.If(new_valid):
            m.d.sync += lines[new_slot].eq(new.line)

        ending = self._beats(m, slots, lines)
        m.d.comb += self.idle.eq(slots.idle & ~self.write.valid)
        starting = (Const(1) << new_slot) & new_valid.replicate(count)
        m.d.sync += active.eq((active & ~ending) | starting)
        m.d.comb += self.busy.eq(
            Cat((active[n] & ~ending[n]) & (lines[n] == self.line) for n in range(count)).any()
        )
        self._busy_ways(m, lines, starting, ending, new.line, new_valid)
        return m

    def _busy_ways(
        self,
        m: Module,
        lines: Any,
        starting: Value,
        ending: Value,
        new_line: Value,
        new_valid: Value,
    ) -> None:
        """Each fetch's way has a register, one bit a way: in the cycle only sets are compared."""
        ways, bits = self._geometry.ways, self._geometry.way_bits
        new_way = (Const(1) << new_line[:bits])[:ways]
        busy = new_way & (new_valid & (new_line[bits:] == self.set)).replicate(ways)
        for n in range(self._config.reads_per_lane):
            way = Signal(ways, name=f"way_{n}")  # none while the slot is free
            with m.If(starting[n]):
                m.d.sync += way.eq(new_way)
            with m.Elif(ending[n]):
                m.d.sync += way.eq(0)
            busy = busy | (way & (lines[n][bits:] == self.set).replicate(ways))
        m.d.comb += self.busy_ways.eq(busy)

    def _beats(self, m: Module, slots: ReadSlots, lines: Any) -> Signal:
        """Beats on their way to the line memory; returns the slots whose fetch ends."""
        count = self._config.reads_per_lane
        beat: Any = Signal(read_response_layout(self._config))
        beat_valid = Signal()
        slot = beat.tag[: len(slots.slot)]
        failed = Signal(count)
        error = beat.error | failed.bit_select(slot, 1)
        ends = beat_valid & beat.last
        ending = Signal(count)
        m.d.comb += [
            self.read.response.ready.eq(1),
            slots.release.eq(ends),
            slots.released.eq(slot),
        ]
        m.d.sync += [
            beat_valid.eq(self.read.response.valid),
            beat.eq(self.read.response.payload),
            self.write.valid.eq(beat_valid),
            self.write.line.eq(lines[slot]),
            self.write.data.eq(beat.data),
            self.filled.valid.eq(ends),
            self.filled.line.eq(lines[slot]),
            self.filled.error.eq(error),
            ending.eq((Const(1) << slot) & ends.replicate(count)),
        ]
        if self._geometry.beats > 1:
            # The number of beats is a power of two: the count is back at 0 when a burst has ended.
            bits = (self._geometry.beats - 1).bit_length()
            number: Any = Signal(data.ArrayLayout(unsigned(bits), count))
            m.d.sync += self.write.beat.eq(number[slot])
            with m.If(beat_valid):
                m.d.sync += number[slot].eq(number[slot] + 1)
        with m.If(beat_valid):
            m.d.sync += failed.bit_select(slot, 1).eq(error & ~beat.last)
        return ending
