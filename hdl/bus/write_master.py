"""Bursts of writes onto the AXI channels: results and completions."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out, Signature

from ..config import Config
from ..skid import StreamRegister
from .axi import BURST_INCR, axi4_write_signature
from .interleave import channel_of

__all__ = ["WriteMaster", "write_data_layout", "write_port_signature", "write_request_layout"]

_OUTSTANDING_BITS = 8


def write_request_layout(config: Config) -> data.StructLayout:
    """An INCR burst. It must not cross a 4 KB boundary; address is aligned to D."""
    return data.StructLayout(
        {"address": unsigned(config.address_bits), "beats": unsigned(8)}  # AWLEN: beats - 1
    )


def write_data_layout(config: Config) -> data.StructLayout:
    """One beat; the burst's request says how many belong to it."""
    return data.StructLayout(
        {"data": unsigned(config.axi_data_bits), "strobe": unsigned(config.axi_bytes)}
    )


def write_port_signature(config: Config) -> Signature:
    """A writer's view: bursts and their beats out, answers in.

    ``idle``: every write handed over so far has been answered by the memory. ``answered``: pulse, a
    bit a channel: its oldest burst was answered. ``error``: with it, the answer was SLVERR or
    DECERR.
    """
    return Signature(
        {
            "request": Out(stream.Signature(write_request_layout(config))),
            "data": Out(stream.Signature(write_data_layout(config))),
            "idle": In(1),
            "answered": In(config.axi_channels),
            "error": In(config.axi_channels),
        }
    )


class WriteMaster(wiring.Component):
    """Turns write bursts into AXI4 writes, one burst at a time, several answers outstanding.

    A burst goes to channel ``channel_of(address)``, id 0. Order between channels is not
    kept: a writer that needs it waits for ``idle``. Flow control: a request is taken when the burst
    before has handed over its beats; then one beat a cycle. AW and W are registered, B is always
    taken.

    ``quiesce``: from the next cycle on no new burst is taken, and beats that the burst in progress
    still lacks are made up with all strobes off, so that the memory sees a whole burst. ``idle``
    then tells that nothing is left. This unit must stay out of the reset that follows.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    port
        Write port, seen from the memory's side.
    axi
        Array of AXI4 write channels, one per AXI channel.
    quiesce, idle
        See above; ``idle`` is also part of ``port``.
    outstanding
        Bursts not answered yet.
    bursts, beats
        Bursts taken and beats handed over in this cycle, for counters.
    """

    port: Any
    axi: Any
    quiesce: Signal
    outstanding: Signal
    idle: Signal
    bursts: Signal
    beats: Signal

    def __init__(self, *, config: Config) -> None:
        self._config = config
        super().__init__(
            {
                "port": In(write_port_signature(config)),
                "axi": Out(axi4_write_signature(config)).array(config.axi_channels),
                "quiesce": In(1),
                "outstanding": Out(_OUTSTANDING_BITS),
                "idle": Out(1),
                "bursts": Out(1),
                "beats": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        config = self._config
        channels = config.axi_channels
        request = self.port.request.payload
        target = Signal(max(1, channels.bit_length() - 1))
        m.d.comb += target.eq(channel_of(config, request.address))

        active = Signal()  # a burst is handing over its beats
        quiet = Signal()
        free = Signal()  # a burst may be taken
        channel = Signal.like(target)
        left = Signal(8)  # beats after this one
        last = Signal()  # there are none
        take = Signal()
        address_ready = Signal(channels)
        data_ready = Signal(channels)
        move = Signal()
        going_on = Signal()  # ``active`` in the next cycle
        room = self.outstanding < (1 << _OUTSTANDING_BITS) - 2  # one may be taken meanwhile
        m.d.comb += [
            self.port.request.ready.eq(free & address_ready.bit_select(target, 1)),
            take.eq(self.port.request.valid & self.port.request.ready),
            self.port.data.ready.eq(active & data_ready.bit_select(channel, 1)),
            move.eq(active & (self.port.data.valid | quiet) & data_ready.bit_select(channel, 1)),
            going_on.eq(take | (active & ~(move & last))),
        ]
        m.d.sync += [
            quiet.eq(self.quiesce),
            active.eq(going_on),
            free.eq(~going_on & room & ~self.quiesce),
        ]
        with m.If(take):
            m.d.sync += [channel.eq(target), left.eq(request.beats), last.eq(request.beats == 0)]
        with m.Elif(move):
            m.d.sync += [left.eq(left - 1), last.eq(left == 1)]

        answers = []
        errors = []
        for c in range(channels):
            axi = self.axi[c]
            m.d.comb += [
                address_ready[c].eq(self._address(m, c, take & (target == c))),
                data_ready[c].eq(self._data(m, c, move & (channel == c), last, quiet)),
                axi.bready.eq(1),
            ]
            answers.append(axi.bvalid)
            errors.append(axi.bvalid & axi.bresp[1])  # SLVERR and DECERR, not EXOKAY
        m.d.sync += [
            self.outstanding.eq(self.outstanding + take - sum(answers)),
            self.port.answered.eq(Cat(answers)),
            self.port.error.eq(Cat(errors)),
        ]
        m.d.comb += [
            self.idle.eq(~active & (self.outstanding == 0)),
            self.port.idle.eq(self.idle),
            self.bursts.eq(take),
            self.beats.eq(move),
        ]
        return m

    def _address(self, m: Module, c: int, push: Value) -> Value:
        """AW of channel ``c``; returns "has room"."""
        config = self._config
        axi = self.axi[c]
        # Two entries: AW is a register and a burst a cycle would still get through.
        queue = StreamRegister(shape=write_request_layout(config))
        m.submodules[f"address_{c}"] = queue
        m.d.comb += [
            queue.i.payload.eq(self.port.request.payload),
            queue.i.valid.eq(push),
            axi.awvalid.eq(queue.o.valid),
            queue.o.ready.eq(axi.awready),
            axi.awaddr.eq(queue.o.payload.address),
            axi.awlen.eq(queue.o.payload.beats),
            axi.awsize.eq(config.axi_bytes.bit_length() - 1),
            axi.awburst.eq(BURST_INCR),
            axi.awcache.eq(0b0011),  # normal memory, not cached
        ]
        return queue.i.ready

    def _data(self, m: Module, c: int, push: Value, last: Value, quiet: Value) -> Value:
        """W of channel ``c``; returns "has room"."""
        config = self._config
        axi = self.axi[c]
        layout = data.StructLayout({"beat": write_data_layout(config), "last": unsigned(1)})
        # Two entries: W is a register and one beat a cycle gets through.
        queue = StreamRegister(shape=layout)
        m.submodules[f"data_{c}"] = queue
        m.d.comb += [
            queue.i.payload.beat.eq(self.port.data.payload),
            queue.i.payload.last.eq(last),
            queue.i.valid.eq(push),
            axi.wvalid.eq(queue.o.valid),
            queue.o.ready.eq(axi.wready),
            axi.wdata.eq(queue.o.payload.beat.data),
            axi.wstrb.eq(queue.o.payload.beat.strobe),
            axi.wlast.eq(queue.o.payload.last),
        ]
        with m.If(quiet):
            m.d.comb += queue.i.payload.beat.strobe.eq(0)
        return queue.i.ready
