"""Buffer that puts the beats of several AXI channels back into the order of their requests."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Mux, Signal, unsigned
from amaranth.lib import data, memory, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import QUERY_BITS, read_response_layout
from ..queue import Queue

__all__ = ["BEATS", "BURSTS", "BeatBuffer", "burst_layout"]

BEATS = 256
"""Room for beats that were asked for: a beat a cycle over a memory latency of 250 cycles."""
BURSTS = 128
"""Bursts in flight on a channel: bursts of one beat, one a cycle, over 120 cycles of latency."""
_OUTPUT = 4
"""Beats out of the buffer: 3 cycles from its read to the credit's return, and one to spare."""


def burst_layout(config: Config) -> data.StructLayout:
    """Event: a burst is sent."""
    return data.StructLayout(
        {
            "valid": unsigned(1),
            "channel": range(max(2, config.axi_channels)),
            "beats": range(512 // config.axi_bytes + 2),
            "query": unsigned(QUERY_BITS),
        }
    )


def _beat_layout(config: Config) -> data.StructLayout:
    return data.StructLayout({"data": unsigned(config.axi_data_bits), "error": unsigned(1)})


class BeatBuffer(wiring.Component):
    """Ring of ``BEATS`` beats, given out in the order of the bursts.

    A burst's tag is the number of its AXI channel, so beats of one tag come in the order of their
    requests; beats of different channels come as they like. A queue a channel tells where in the
    ring its next burst belongs; a beat leaves when it is the oldest and has landed. The first beat
    of a burst comes 4 cycles after the burst at the earliest.

    Flow control: beats are never refused, the owner counts the room (``BEATS``); a burst is sent
    only while ``room`` of its channel is high. A beat a cycle, ``LATENCY`` cycles from ``response``
    to ``o``.

    Parameters
    ----------
    config
        The device.

    Members
    -------
    burst, room
        A burst is sent; one bit a channel.
    response
        Beats of a read port, ``valid`` beside them.
    o, last
        Beats in order, each with its ``error``; the burst's last one is on ``o``.
    bus_error
        Beats with an error, one bit a query; they are handed over all the same.
    """

    burst: Any
    room: Signal
    response: Any
    response_valid: Signal
    o: stream.Interface
    last: Signal
    bus_error: Signal

    LATENCY = 3
    """Landed, read, output queue."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "burst": In(burst_layout(config)),
                "room": Out(config.axi_channels),
                "response": In(read_response_layout(config)),
                "response_valid": In(1),
                "o": Out(stream.Signature(_beat_layout(config))),
                "last": Out(1),
                "bus_error": Out(1 << QUERY_BITS),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        shape = _beat_layout(self._config)
        ring: memory.Memory = memory.Memory(shape=shape, depth=BEATS, init=[])
        m.submodules.ring = ring
        landed = self._land(m, ring)
        self._leave(m, ring, landed)
        return m

    def _land(self, m: Module, ring: Any) -> list[Signal]:
        """Beats into the ring; returns a pulse a channel."""
        channels = self._config.axi_channels
        place = Signal(range(BEATS))  # of the next burst
        layout = data.StructLayout({"place": range(BEATS), "query": QUERY_BITS})
        write = ring.write_port()
        tag = self.response.tag[: max(1, (channels - 1).bit_length())]
        error = Signal()
        m.d.comb += [
            write.data.data.eq(self.response.data),
            write.data.error.eq(self.response.error),
            write.en.eq(self.response_valid),
            error.eq(self.response_valid & self.response.error),
        ]
        with m.If(self.burst.valid):
            m.d.sync += place.eq(place + self.burst.beats)
        landed = []
        m.d.sync += self.bus_error.eq(0)
        for c in range(channels):
            # Bursts are at least a beat, so there may be more of them: then ``room`` is low.
            m.submodules[f"landing_{c}"] = queue = Queue(shape=layout, depth=BURSTS)
            arrived = Signal(name=f"landed_{c}")
            offset = Signal(range(BEATS), name=f"offset_{c}")
            m.d.comb += [
                queue.i.valid.eq(self.burst.valid & (self.burst.channel == c)),
                queue.i.payload.place.eq(place),
                queue.i.payload.query.eq(self.burst.query),
                self.room[c].eq(queue.i.ready),
                arrived.eq(self.response_valid & (tag == c)),
                queue.o.ready.eq(arrived & self.response.last),
            ]
            with m.If(arrived):
                m.d.comb += write.addr.eq(queue.o.payload.place + offset)
                m.d.sync += [
                    offset.eq(Mux(self.response.last, 0, offset + 1)),
                    self.bus_error.eq(Mux(error, 1 << queue.o.payload.query, 0)),
                ]
            landed.append(arrived)
        return landed

    def _leave(self, m: Module, ring: Any, landed: list[Signal]) -> None:
        """The oldest beat, when it has landed, through the ring's read register to ``o``."""
        # A burst has room for at least one beat in the ring: never full.
        layout = data.StructLayout(
            {"channel": self.burst.channel.shape(), "beats": self.burst.beats.shape()}
        )
        m.submodules.order = order = Queue(shape=layout, depth=BEATS)
        beat = data.StructLayout({"beat": _beat_layout(self._config), "last": unsigned(1)})
        m.submodules.output = output = Queue(shape=beat, depth=_OUTPUT)
        # The oldest burst, in a register: its channel, its beats behind the next one.
        present, last = Signal(), Signal()
        channel = Signal.like(order.o.payload.channel)
        behind = Signal.like(order.o.payload.beats)
        position = Signal(range(BEATS))
        credit = Signal(range(_OUTPUT + 1), init=_OUTPUT)
        some_credit = Signal(init=1)
        leave, reading, was_last = Signal(), Signal(), Signal()
        there = []
        for c, arrived in enumerate(landed):
            count = Signal(range(BEATS + 1), name=f"there_{c}")
            some = Signal(name=f"some_{c}")
            leaves = leave & (channel == c)
            m.d.sync += [
                count.eq(count + arrived - leaves),
                some.eq(arrived | (some & ~(leaves & (count == 1)))),
            ]
            there.append(some)
        read = ring.read_port(domain="sync")
        m.d.comb += [
            order.i.valid.eq(self.burst.valid),
            order.i.payload.channel.eq(self.burst.channel),
            order.i.payload.beats.eq(self.burst.beats),
            leave.eq(present & Cat(there).bit_select(channel, 1) & some_credit),
            order.o.ready.eq(~present | (leave & last)),
            read.addr.eq(position),
            read.en.eq(leave),
            output.i.valid.eq(reading),
            output.i.payload.beat.eq(read.data),
            output.i.payload.last.eq(was_last),
            self.o.valid.eq(output.o.valid),
            self.o.payload.eq(output.o.payload.beat),
            self.last.eq(output.o.payload.last),
            output.o.ready.eq(self.o.ready),
        ]
        taken = self.o.valid & self.o.ready
        m.d.sync += [
            reading.eq(leave),
            was_last.eq(last),
            credit.eq(credit + taken - leave),
            some_credit.eq(taken | (some_credit & ~(leave & (credit == 1)))),
        ]
        with m.If(leave):
            m.d.sync += [
                position.eq(position + 1), behind.eq(behind - 1), last.eq(behind == 1),
            ]  # fmt: skip
        with m.If(order.o.ready):
            m.d.sync += [
                present.eq(order.o.valid),
                channel.eq(order.o.payload.channel),
                behind.eq(order.o.payload.beats - 1),
                last.eq(order.o.payload.beats == 1),
            ]
