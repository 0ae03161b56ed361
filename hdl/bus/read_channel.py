"""One AXI4 read channel of the crossbar: request arbiter, AR and R registers, outstanding count."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Cat, Const, Module, Signal, Value, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import read_request_layout, read_response_layout
from ..skid import StreamRegister
from .axi import BURST_INCR, axi4_read_signature
from .drain_register import DrainRegister
from .round_robin import RoundRobin

__all__ = ["ReadChannel"]


class ReadChannel(wiring.Component):
    """Takes one request a cycle out of all requesters and hands back one beat a cycle.

    Requests: ``valid`` and ``payload`` of all requesters in, ``accepted`` says in the same cycle
    whose request was taken. Responses: a stream of beats beside the ``requester`` they belong to.
    AR and R are both registers, ready as well.

    At most ``OUTSTANDING_LIMIT`` bursts are outstanding. With ``quiesce``, from two cycles later
    on, beats are thrown away; it is the requesters that ask for no more.

    Parameters
    ----------
    config
        Device sizes.

    Members
    -------
    valid, payload, accepted
        Requests, one of each a requester.
    response, requester
        Beat, and the requester its id names.
    axi
        AXI4 read channel.
    quiesce, outstanding, idle
        As in ``ReadCrossbar``.
    burst, beat
        A request was accepted, a beat was received.
    """

    valid: Signal
    payload: Any
    accepted: Signal
    response: stream.Interface
    requester: Signal
    axi: Any
    quiesce: Signal
    outstanding: Signal
    idle: Signal
    burst: Signal
    beat: Signal

    OUTSTANDING_BITS = 10
    OUTSTANDING_LIMIT = 1 << (OUTSTANDING_BITS - 1)
    """More than any preset's reads in flight; only bounds the counter."""

    def __init__(self, *, config: Config) -> None:
        self._config = config
        requesters = config.read_requesters
        super().__init__(
            {
                "valid": In(requesters),
                "payload": In(data.ArrayLayout(read_request_layout(config), requesters)),
                "accepted": Out(requesters),
                "response": Out(stream.Signature(read_response_layout(config))),
                "requester": Out(config.id_bits - config.tag_bits),
                "axi": Out(axi4_read_signature(config)),
                "quiesce": In(1),
                "outstanding": Out(self.OUTSTANDING_BITS),
                "idle": Out(1),
                "burst": Out(1),
                "beat": Out(1),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        address_held = self._address(m)
        beat_held = self._beats(m)
        finished = self.axi.rvalid & self.axi.rready & self.axi.rlast
        m.d.sync += self.outstanding.eq(self.outstanding + self.burst - finished)
        m.d.comb += [
            self.beat.eq(self.axi.rvalid & self.axi.rready),
            self.idle.eq((self.outstanding == 0) & ~address_held & ~beat_held),
        ]
        return m

    def _address(self, m: Module) -> Value:
        """Arbiter and AR register; returns "an address is waiting"."""
        config = self._config
        axi = self.axi
        m.submodules.arbiter = arbiter = RoundRobin(count=config.read_requesters)
        layout = data.StructLayout(
            {
                "id": unsigned(config.id_bits),
                "address": unsigned(config.address_bits),
                "beats": unsigned(8),
            }
        )
        # Two entries: AR is a register and still takes one request a cycle.
        m.submodules.address = address = StreamRegister(shape=layout)
        open_ = Signal(init=1)
        m.d.sync += open_.eq(self.outstanding < self.OUTSTANDING_LIMIT - 1)  # a cycle late
        m.d.comb += [
            arbiter.requests.eq(self.valid),
            arbiter.advance.eq(open_ & address.i.ready),
            self.accepted.eq(arbiter.grant & arbiter.advance.replicate(config.read_requesters)),
            address.i.valid.eq(open_ & self.valid.any()),
            self.burst.eq(address.i.valid & address.i.ready),
        ]
        for r in range(config.read_requesters):
            with m.If(arbiter.grant[r]):
                m.d.comb += [
                    address.i.payload.id.eq(
                        Cat(self.payload[r].tag, Const(r, config.id_bits - config.tag_bits))
                    ),
                    address.i.payload.address.eq(self.payload[r].address),
                    address.i.payload.beats.eq(self.payload[r].beats),
                ]
        m.d.comb += [
            axi.arvalid.eq(address.o.valid),
            address.o.ready.eq(axi.arready),
            axi.arid.eq(address.o.payload.id),
            axi.araddr.eq(address.o.payload.address),
            axi.arlen.eq(address.o.payload.beats),
            axi.arsize.eq(config.axi_bytes.bit_length() - 1),
            axi.arburst.eq(BURST_INCR),
            axi.arcache.eq(0b0011),  # normal memory, not cached
        ]
        return address.o.valid

    def _beats(self, m: Module) -> Value:
        """R register and id decoding; returns "a beat is waiting"."""
        config = self._config
        axi = self.axi
        layout = data.StructLayout(
            {
                "requester": unsigned(config.id_bits - config.tag_bits),
                "beat": read_response_layout(config),
            }
        )
        # Two entries: RREADY is a register and one beat a cycle still gets through.
        m.submodules.beats = beats = DrainRegister(shape=layout)
        drop = Signal()
        m.d.sync += drop.eq(self.quiesce)
        m.d.comb += [
            beats.clear.eq(drop),
            beats.i.valid.eq(axi.rvalid),
            axi.rready.eq(beats.i.ready),
            beats.i.payload.requester.eq(axi.rid[config.tag_bits :]),
            beats.i.payload.beat.data.eq(axi.rdata),
            beats.i.payload.beat.tag.eq(axi.rid[: config.tag_bits]),
            beats.i.payload.beat.last.eq(axi.rlast),
            beats.i.payload.beat.error.eq(axi.rresp[1]),  # SLVERR and DECERR, not EXOKAY
            self.response.valid.eq(beats.o.valid),
            self.response.payload.eq(beats.o.payload.beat),
            self.requester.eq(beats.o.payload.requester),
            beats.o.ready.eq(self.response.ready),
        ]
        return beats.o.valid
