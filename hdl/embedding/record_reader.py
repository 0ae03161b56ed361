"""Reads of item record parts: bursts out, beats back in a buffer that always has room for them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..bus.beat_buffer import BEATS, BeatBuffer
from ..bus.interleave import channel_of
from ..config import Config
from ..interfaces import QUERY_BITS, read_port_signature
from ..queue import Queue
from ..skid import ReadyRegister
from .record_layouts import record_layout, record_task_layout, step_words

__all__ = ["PARTS", "RecordReader"]

PARTS = 128
"""Record parts in flight: one-beat parts, one a cycle, over a memory latency of 120 cycles."""


class RecordReader(wiring.Component):
    """Turns record parts into bursts of exactly the beats needed, many records in flight.

    A part is split where it crosses a 4 KB boundary. Buffer space for its beats is reserved before
    the first request, so that ``read.response`` is never refused: record beats nobody can use yet
    must not hold up the gather lanes' beats on the same bus.

    Timing: a part a cycle, a beat a cycle; ``LATENCY`` cycles from ``i`` to the request,
    ``BeatBuffer.LATENCY`` from a beat to ``o_beat``.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Record parts.
    read
        Read port; the tag is the number of the AXI channel.
    o_record, o_beat
        The parts, and the beats of all parts one after the other.
    bus_error
        Beats with an error, one bit a query; they are handed over all the same.
    idle
        Nothing asked for, nothing buffered.
    """

    i: stream.Interface
    o_record: stream.Interface
    o_beat: stream.Interface
    read: Any
    bus_error: Value
    idle: Value

    LATENCY = 2
    """Cycles from a part to its first request: measured, begun."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(record_task_layout(config))),
                "read": Out(read_port_signature(config)),
                "o_record": Out(stream.Signature(record_layout(config))),
                "o_beat": Out(stream.Signature(unsigned(config.axi_data_bits))),
                "bus_error": Out(1 << QUERY_BITS),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        log2_beat = config.axi_bytes.bit_length() - 1
        m.submodules.buffer = buffer = BeatBuffer(config=config)
        # The unpacker has a register for the part in work.
        depth = PARTS - ReadyRegister.CAPACITY - 1
        m.submodules.parts = parts = Queue(shape=record_layout(config), depth=depth)
        m.submodules.part = part = ReadyRegister(shape=record_layout(config))
        wiring.connect(m, parts.o, part.i)
        wiring.connect(m, part.o, wiring.flipped(self.o_record))
        m.d.comb += [
            self.o_beat.valid.eq(buffer.o.valid),
            self.o_beat.payload.eq(buffer.o.payload.data),
            buffer.o.ready.eq(self.o_beat.ready),
        ]

        accept = Signal()
        # A part's beats are counted in one cycle, and asked for from the next one on.
        burst = buffer.burst
        page_beats = 4096 >> log2_beat
        next_start = self.i.payload.address[:log2_beat]
        task: Any = Signal(record_task_layout(config), reset_less=True)
        present = Signal()
        wanted = Signal.like(burst.beats)
        to_page = Signal(range(page_beats + 1))
        m.d.comb += self.i.ready.eq(~present | accept)
        with m.If(self.i.ready):
            m.d.sync += [
                present.eq(self.i.valid),
                task.eq(self.i.payload),
                wanted.eq(
                    (next_start + self.i.payload.bytes + (config.axi_bytes - 1)) >> log2_beat
                ),
                to_page.eq(page_beats - self.i.payload.address[log2_beat:12]),
            ]
        start = task.address[:log2_beat]
        # The burst to be sent is worked out a cycle ahead: nothing but whether it may go is left.
        busy, last = Signal(), Signal()  # a burst is to be sent; it is its part's last one
        rest = Signal.like(burst.beats)  # beats of the part behind this burst
        free = Signal(range(BEATS + 1), init=BEATS)
        sent = Signal()
        m.d.comb += [
            accept.eq((~busy | (sent & last)) & (free >= wanted) & parts.i.ready & present),
            parts.i.valid.eq(accept),
            parts.i.payload.start.eq(start),
            self.idle.eq(~present & ~busy & (parts.level == 0) & ~part.kept),
        ]
        # Dense values begin with a beat.
        before = start[: 1 + step_words(config).bit_length()] & (~task.dense).replicate(8)
        m.d.comb += parts.i.payload.end.eq(task.bytes + before - 1)
        for name, _ in record_layout(config):
            if name not in ("start", "end"):
                m.d.comb += parts.i.payload[name].eq(task[name])
        taken = self.o_beat.valid & self.o_beat.ready
        m.d.sync += free.eq(free + taken - Mux(accept, wanted, 0))

        address = Signal(config.address_bits)
        beats = Signal.like(burst.beats)
        request, response = self.read.request, self.read.response
        m.d.comb += [
            burst.beats.eq(beats),
            burst.channel.eq(channel_of(config, address)),
            request.valid.eq(busy & buffer.room.bit_select(burst.channel, 1)),
            request.payload.address.eq(address),
            request.payload.beats.eq(beats - 1),
            request.payload.tag.eq(burst.channel),
            sent.eq(request.valid & request.ready),
            burst.valid.eq(sent),
            response.ready.eq(Const(1)),
            buffer.response_valid.eq(response.valid),
            buffer.response.eq(response.payload),
            self.bus_error.eq(buffer.bus_error),
        ]
        with m.If(sent):
            m.d.sync += [
                busy.eq(~last),
                # A part is shorter than a page: what is behind the boundary is one burst.
                last.eq(1),
                beats.eq(rest),
                address.eq(address + (beats << log2_beat)),
            ]
        with m.If(accept):
            m.d.sync += [
                busy.eq(1),
                last.eq(wanted <= to_page),
                beats.eq(Mux(wanted <= to_page, wanted, to_page)),
                rest.eq(wanted - to_page),
                address.eq((task.address >> log2_beat) << log2_beat),
                burst.query.eq(task.query),
            ]
        return m
