"""A reader whose beats come in the order of its requests, on all AXI channels at once."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Const, Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import read_port_signature
from .beat_buffer import BEATS, BeatBuffer
from .interleave import channel_of

__all__ = ["OrderedReads"]


class OrderedReads(wiring.Component):
    """Goes between a reader that uses one tag and the read crossbar.

    With one channel it is wires. With several, requests get the channel's number as their tag and
    beats pass through a ``BeatBuffer``: room for them is reserved before the request leaves, so
    beats of the crossbar are never refused. ``LATENCY`` cycles from a beat to the reader.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    reader
        The reader's port.
    read
        Port of the crossbar.
    """

    reader: Any
    read: Any

    LATENCY = BeatBuffer.LATENCY

    def __init__(self, *, config: Config) -> None:
        self._config = config
        port = read_port_signature(config)
        super().__init__({"reader": In(port), "read": Out(port)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        if self._config.axi_channels == 1:
            wiring.connect(m, wiring.flipped(self.reader), wiring.flipped(self.read))
            return m
        m.submodules.buffer = buffer = BeatBuffer(config=self._config)
        asked, sent = self.reader.request, self.read.request
        given, came = self.reader.response, self.read.response
        free = Signal(range(BEATS + 1), init=BEATS)
        room = Signal()
        fire = Signal()
        burst = buffer.burst
        m.d.comb += [
            burst.channel.eq(channel_of(self._config, asked.payload.address)),
            burst.beats.eq(asked.payload.beats + 1),
            burst.valid.eq(fire),
            room.eq(buffer.room.bit_select(burst.channel, 1) & (free >= burst.beats)),
            sent.valid.eq(asked.valid & room),
            sent.payload.eq(asked.payload),
            sent.payload.tag.eq(burst.channel),
            asked.ready.eq(sent.ready & room),
            fire.eq(sent.valid & sent.ready),
            came.ready.eq(Const(1)),
            buffer.response_valid.eq(came.valid),
            buffer.response.eq(came.payload),
            given.valid.eq(buffer.o.valid),
            given.payload.data.eq(buffer.o.payload.data),
            given.payload.error.eq(buffer.o.payload.error),
            given.payload.last.eq(buffer.last),
            buffer.o.ready.eq(given.ready),
        ]
        m.d.sync += free.eq(free + (given.valid & given.ready) - Mux(fire, burst.beats, 0))
        return m
