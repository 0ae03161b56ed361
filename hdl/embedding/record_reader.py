"""Reads of item record parts: bursts out, beats back in a buffer that always has room for them."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal, Value, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import read_port_signature
from ..queue import Queue
from .layouts import record_layout, record_task_layout

__all__ = ["BUFFER_BYTES", "RECORDS", "RecordReader"]

BUFFER_BYTES = 2048
"""Room for beats that were asked for."""
RECORDS = 16
"""Record parts in flight."""


class RecordReader(wiring.Component):
    """Turns record parts into bursts of exactly the beats needed, several records in flight.

    A part is split where it crosses a 4 KB boundary. Buffer space for its beats is reserved before
    the first request, so that ``read.response`` is never refused: record beats nobody can use yet
    must not hold up the gather lanes' beats on the same bus. Latency: one cycle from ``i`` to the
    request, two from a beat to ``o_beat``.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    i
        Record parts.
    read
        Read port of an ordered requester, tag 0.
    o_record, o_beat
        The parts, and the beats of all parts one after the other.
    bus_error
        One cycle for each beat with an error; the beat is handed over all the same.
    idle
        Nothing asked for, nothing buffered.
    """

    i: stream.Interface
    o_record: stream.Interface
    o_beat: stream.Interface
    read: Any
    bus_error: Value
    idle: Value

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "i": In(stream.Signature(record_task_layout(config))),
                "read": Out(read_port_signature(config)),
                "o_record": Out(stream.Signature(record_layout(config))),
                "o_beat": Out(stream.Signature(unsigned(config.axi_data_bits))),
                "bus_error": Out(1),
                "idle": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        log2_beat = config.axi_bytes.bit_length() - 1
        # Room for 6 records of 64 ids, or 10 of 26 ids, at any alignment and D up to 64: at one id
        # a cycle the latter covers a memory latency of 260 cycles.
        capacity = BUFFER_BYTES // config.axi_bytes
        m.submodules.beats = beats = Queue(shape=unsigned(config.axi_data_bits), depth=capacity)
        # A short dense part is one beat: 16 of them at 6 cycles a row cover a latency of 96 cycles.
        m.submodules.parts = parts = Queue(shape=record_layout(config), depth=RECORDS)
        wiring.connect(m, parts.o, wiring.flipped(self.o_record))
        wiring.connect(m, beats.o, wiring.flipped(self.o_beat))

        task = self.i.payload
        start = task.address[:log2_beat]
        wanted = Signal(7)  # 256 bytes and alignment at D = 8: 33 beats
        free = Signal(range(capacity + 1), init=capacity)
        remaining = Signal.like(wanted)
        accept = Signal()
        m.d.comb += [
            wanted.eq((start + task.bytes + (config.axi_bytes - 1)) >> log2_beat),
            accept.eq((remaining == 0) & (free >= wanted) & parts.i.ready & self.i.valid),
            self.i.ready.eq(accept),
            parts.i.valid.eq(accept),
            parts.i.payload.start.eq(start),
        ]
        for name, _ in record_layout(config):
            if name != "start":
                m.d.comb += parts.i.payload[name].eq(task[name])

        taken = self.o_beat.valid & self.o_beat.ready
        m.d.sync += free.eq(free + taken - Mux(accept, wanted, 0))

        address = Signal(config.address_bits)
        request = self.read.request
        page_beats = 4096 >> log2_beat
        to_page = Signal(range(page_beats + 1))
        burst = Signal.like(wanted)
        m.d.comb += [
            to_page.eq(page_beats - address[log2_beat:12]),
            burst.eq(Mux(remaining > to_page, to_page, remaining)),
            request.valid.eq(remaining != 0),
            request.payload.address.eq(address),
            request.payload.beats.eq(burst - 1),
        ]
        with m.If(accept):
            m.d.sync += [
                remaining.eq(wanted),
                address.eq((task.address >> log2_beat) << log2_beat),
            ]
        with m.Elif(request.valid & request.ready):
            m.d.sync += [
                remaining.eq(remaining - burst),
                address.eq(address + (burst << log2_beat)),
            ]

        response = self.read.response
        m.d.comb += [
            response.ready.eq(Const(1)),
            beats.i.valid.eq(response.valid),
            beats.i.payload.eq(response.payload.data),
            self.idle.eq((remaining == 0) & (parts.level == 0)),
        ]
        m.d.sync += self.bus_error.eq(response.valid & response.payload.error)
        return m
