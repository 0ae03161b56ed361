"""Read requests of all units onto the AXI channels, and the beats back to the units."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import read_port_signature, read_request_layout, read_response_layout
from .axi import axi4_read_signature
from .drain_register import DrainRegister
from .interleave import channel_of
from .read_channel import ReadChannel
from .round_robin import RoundRobin

__all__ = ["ORDERED_REQUESTERS", "ReadCrossbar"]

ORDERED_REQUESTERS = 1
"""Front end: beats come in the order of their requests."""
_OUTSTANDING_BITS = 10
"""Bursts of an ordered requester that may be on the way; the last count is a limit, not a wrap."""


class ReadCrossbar(wiring.Component):
    """Arbitrates ``config.read_requesters`` requesters onto ``config.axi_channels`` AXI channels.

    A request goes to the channel ``channel_of(address)`` with the AXI id
    ``requester << tag_bits | tag``. Requesters below ``ORDERED_REQUESTERS`` use one channel at a
    time: a request to another channel waits until nothing of theirs is outstanding, so with one
    tag their beats come in the order of their requests. All others are told apart by tag only.

    Flow control: every channel takes one request a cycle, round robin; a requester takes one beat
    a cycle, round robin over the channels. A requester must take the beats it asked for without
    waiting for another requester's beats, because the beats of a channel come one after the other.
    Latency: 2 cycles from request to AR, 2 cycles from R to response, when nothing is in the way.

    ``quiesce``: no new requests are taken, those not yet on AR are dropped, and beats that still
    arrive are thrown away. AR signals that were already valid stay until the memory takes them.
    Both ends hear of it ``QUIESCE_LATENCY`` cycles late: a request that is taken until then is
    dropped or counted as outstanding in the cycle after. From then on ``idle`` tells that nothing
    is left; the requesters may be reset. This unit itself must stay out of that reset. ``abandon``
    does the same to all but the ordered requesters, which go on.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    requester
        Array of read ports, seen from the memory's side: connect a unit's port to each.
    axi
        Array of AXI4 read channels, one per AXI channel.
    quiesce, abandon
        Drain; see above.
    outstanding
        Bursts asked for whose last beat has not come, all channels.
    idle
        Nothing outstanding and nothing held inside.
    bursts, beats
        Requests sent and beats received in this cycle, for counters.
    """

    requester: Any
    axi: Any
    quiesce: Signal
    abandon: Signal
    outstanding: Signal
    idle: Signal
    bursts: Signal
    beats: Signal

    QUIESCE_LATENCY = 2
    """Cycles from ``quiesce`` or ``abandon`` until nothing is taken: each end has a register for
    them, and its ready is one."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        channels = config.axi_channels
        super().__init__(
            {
                "requester": In(read_port_signature(config)).array(config.read_requesters),
                "axi": Out(axi4_read_signature(config)).array(channels),
                "quiesce": In(1),
                "abandon": In(1),
                "outstanding": Out(ReadChannel.OUTSTANDING_BITS + channels.bit_length()),
                "idle": Out(1),
                "bursts": Out(range(channels + 1)),
                "beats": Out(range(channels + 1)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        channels = []
        for c in range(config.axi_channels):
            channel = ReadChannel(config=config)
            m.submodules[f"channel_{c}"] = channel
            wiring.connect(m, channel.axi, wiring.flipped(self.axi[c]))
            m.d.comb += channel.quiesce.eq(self.quiesce)
            channels.append(channel)
        taken = [
            Signal(config.read_requesters, name=f"taken_{c}") for c in range(config.axi_channels)
        ]
        busy = []
        for r in range(config.read_requesters):
            busy.append(self._requests(m, r, channels))
            busy.append(self._responses(m, r, channels, taken))
        m.d.comb += [
            self.outstanding.eq(sum(channel.outstanding for channel in channels)),
            self.idle.eq(Cat(busy, (~channel.idle for channel in channels)) == 0),
            self.bursts.eq(sum(channel.burst for channel in channels)),
            self.beats.eq(sum(channel.beat for channel in channels)),
        ]
        for channel, takers in zip(channels, taken, strict=True):
            # A beat leaves its channel when the requester of its id takes it.
            m.d.comb += channel.response.ready.eq(takers != 0)
        return m

    def _requests(self, m: Module, r: int, channels: list[ReadChannel]) -> Value:
        """Requester ``r``'s way to the channels; returns "something is held here"."""
        config = self._config
        port = self.requester[r]
        # Two entries: one request a cycle without a combinational path from arbiter to requester.
        held = DrainRegister(shape=read_request_layout(config))
        m.submodules[f"request_{r}"] = held
        wiring.connect(m, wiring.flipped(port.request), held.i)
        drop = Signal(name=f"drop_request_{r}")
        m.d.sync += drop.eq(self._dropped(r))

        head = held.o.payload
        target = Signal(range(max(2, config.axi_channels)), name=f"target_{r}")
        m.d.comb += target.eq(channel_of(config, head.address))
        allowed = Signal(init=1, name=f"allowed_{r}")
        granted = Signal(name=f"granted_{r}")
        m.d.comb += [
            held.clear.eq(drop),
            held.closed.eq(drop),
            held.o.ready.eq(granted),
            granted.eq(Cat(channel.accepted[r] for channel in channels) != 0),
        ]
        if r < ORDERED_REQUESTERS:
            self._order(m, r, target, allowed, granted, drop)
        for c, channel in enumerate(channels):
            m.d.comb += [
                channel.payload[r].eq(head),
                channel.valid[r].eq(held.o.valid & allowed & (target == c)),
            ]
        return held.o.valid

    def _dropped(self, r: int) -> Value:
        """What requester ``r`` asked for is not wanted any more."""
        return self.quiesce if r < ORDERED_REQUESTERS else self.quiesce | self.abandon

    def _order(
        self, m: Module, r: int, target: Signal, allowed: Signal, granted: Signal, drop: Signal
    ) -> None:
        """Lets an ordered requester use one channel at a time."""
        port = self.requester[r]
        count = Signal(_OUTSTANDING_BITS, name=f"outstanding_{r}")
        sent = Signal(name=f"sent_{r}")  # granted, and not counted yet
        current = Signal.like(target, name=f"current_{r}")
        room = Signal(init=1, name=f"room_{r}")
        done = port.response.valid & port.response.ready & port.response.payload.last
        # Two cycles late: two more are granted at most.
        m.d.sync += room.eq(count < (1 << _OUTSTANDING_BITS) - 3)
        m.d.comb += allowed.eq(room)
        if self._config.axi_channels > 1:
            m.d.comb += allowed.eq(((count == 0) & ~sent) | ((current == target) & room))
        with m.If(granted):
            m.d.sync += current.eq(target)
        with m.If(drop):
            m.d.sync += [sent.eq(0), count.eq(0)]
        with m.Else():
            m.d.sync += [sent.eq(granted), count.eq(count + sent - done)]

    def _responses(
        self, m: Module, r: int, channels: list[ReadChannel], taken: list[Signal]
    ) -> Signal:
        """The channels' way to requester ``r``; returns "a beat is held here"."""
        config = self._config
        port = self.requester[r]
        arbiter = RoundRobin(count=len(channels))
        m.submodules[f"arbiter_{r}"] = arbiter
        beat = Signal(read_response_layout(config), name=f"beat_{r}")
        full = Signal(name=f"full_{r}")
        room = Signal(name=f"room_{r}")
        drop = Signal(name=f"drop_beat_{r}")
        m.d.sync += drop.eq(self._dropped(r))
        m.d.comb += room.eq(~full | port.response.ready)
        for c, channel in enumerate(channels):
            m.d.comb += [
                arbiter.requests[c].eq(channel.response.valid & (channel.requester == r)),
                taken[c][r].eq(arbiter.grant[c] & room),
            ]
        m.d.comb += arbiter.advance.eq(room)
        with m.If(room):
            m.d.sync += full.eq(arbiter.requests != 0)
            for c, channel in enumerate(channels):
                with m.If(arbiter.grant[c]):
                    m.d.sync += beat.eq(channel.response.payload)
        with m.If(drop):
            m.d.sync += full.eq(0)
        m.d.comb += [port.response.valid.eq(full), port.response.payload.eq(beat)]
        return full
