"""Writes completions into their ring, the next one while answers to others are on the way."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.interleave import channel_of
from ..bus.write_master import write_data_layout, write_request_layout
from ..config import Config
from ..program import COMPLETION, COMPLETION_BYTES, Opcode, Status
from ..queue import Queue
from .entry_writer import EntryWriter

__all__ = ["CompletionRing"]

_ENTRY_SHIFT = COMPLETION_BYTES.bit_length() - 1
_INDEX_BITS = 16


class CompletionRing(wiring.Component):
    """Completions in the order of ``i``, the phase bit put in; the tail follows the answers.

    A completion waits while the ring is full: one slot always stays free. The host sees a new tail
    when the memory has answered the write: it finds the completion in place. Answers of one channel
    come in order; a completion for another channel waits until all are answered.

    ``i.ready`` is a register, up for a cycle, and only while ``i.valid`` is: a completion is taken
    ``LATENCY`` cycles after it came and there was room.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    i
        ``COMPLETION``; its ``phase`` is not looked at. Its other fields are those of the cycle in
        which it is taken.
    taking
        ``i`` is taken in the next cycle.
    request, data
        Bursts for a write port.
    answered, error
        Pulses: a completion was answered; it was an error.
    base, size, head
        The ring, and the host's place in it.
    tail
        First entry not written and answered.
    full
        A completion waited for room in the cycle before.
    busy
        A completion is not answered.
    completed, failed, query
        Pulse: an entry was answered; with it: its status was not OK or the write failed; it was a
        QUERY.
    """

    i: stream.Interface
    taking: Signal
    request: stream.Interface
    data: Any
    answered: Signal
    error: Signal
    base: Signal
    size: Signal
    head: Signal
    tail: Signal
    full: Signal
    busy: Signal
    completed: Signal
    failed: Signal
    query: Signal

    LATENCY = 1
    POSTED = 8
    """Completions not answered: one every 14 cycles at 100 cycles of memory latency."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(COMPLETION)),
                "taking": Out(1),
                "request": Out(stream.Signature(write_request_layout(config))),
                "data": Out(stream.Signature(write_data_layout(config))),
                "answered": In(1),
                "error": In(1),
                "base": In(config.address_bits),
                "size": In(_INDEX_BITS),
                "head": In(_INDEX_BITS),
                "tail": Out(_INDEX_BITS),
                "full": Out(1),
                "busy": Out(1),
                "completed": Out(1),
                "failed": Out(1),
                "query": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.writer = writer = EntryWriter(config=self._config)
        m.submodules.posted = posted = Queue(
            shape=data.StructLayout({"bad": unsigned(1), "query": unsigned(1)}), depth=self.POSTED
        )
        place = Signal(_INDEX_BITS)  # of the next completion
        # Each a cycle behind what it is made of: the writer is busy for longer with the completion
        # before.
        following = Signal(_INDEX_BITS)
        room = Signal()
        phase = Signal(init=1)
        may = Signal()
        taken = Signal()
        address = Signal(self._config.address_bits)
        wiring.connect(m, writer.request, wiring.flipped(self.request))
        wiring.connect(m, writer.data, wiring.flipped(self.data))
        m.d.sync += [
            following.eq(self._after(place)),
            room.eq(following != self.head),
            # All of it stays up until a completion is taken.
            taken.eq(self.taking),
            self.full.eq(self.i.valid & ~room),
        ]
        m.d.comb += [
            self.taking.eq(self.i.valid & may & ~taken),
            address.eq((self.base[_ENTRY_SHIFT:] + place) << _ENTRY_SHIFT),
            may.eq(
                room
                & writer.i.ready
                & posted.i.ready
                & self._same_channel(m, address, posted, taken)
            ),
            writer.i.valid.eq(taken),
            writer.i.payload.entry.eq(self.i.payload),
            writer.i.payload.entry.phase.eq(phase),
            writer.i.payload.address.eq(address),
            self.i.ready.eq(taken),
            posted.i.valid.eq(taken),
            posted.i.payload.bad.eq(self.i.payload.status != Status.OK),
            posted.i.payload.query.eq(self.i.payload.opcode == Opcode.QUERY),
            posted.o.ready.eq(self.answered),
            self.completed.eq(posted.o.valid & self.answered),
            self.failed.eq(self.completed & (posted.o.payload.bad | self.error)),
            self.query.eq(self.completed & posted.o.payload.query),
            self.busy.eq(posted.level != 0),
        ]
        with m.If(taken):
            m.d.sync += place.eq(following)
            with m.If(following == 0):
                m.d.sync += phase.eq(~phase)
        with m.If(self.completed):
            m.d.sync += self.tail.eq(self._after(self.tail))
        return m

    def _after(self, index: Signal) -> Value:
        return Mux(index + 1 >= self.size, 0, index + 1)

    def _same_channel(self, m: Module, address: Signal, posted: Queue, taken: Signal) -> Value:
        """The completion goes where all that are not answered went."""
        bits = self._config.axi_channels.bit_length() - 1
        if bits == 0:
            return Value.cast(1)
        channel = Signal(bits)
        mine = channel_of(self._config, address)
        with m.If(taken):
            m.d.sync += channel.eq(mine)
        return (posted.level == 0) | (channel == mine)
