"""Two users of one memory."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..queue import Queue
from .word_port import word_port_signature

__all__ = ["WordMerge"]


class WordMerge(wiring.Component):
    """Takes requests of two users in turn and hands each its own answers.

    One request a cycle, no latency. Reads of both together wait for at most ``reads`` answers; an
    answer that its user does not take holds up the other's behind it.

    ``flush``: user 0 is being reset. Its requests are ignored and answers to it thrown away.

    Parameters
    ----------
    address_bits
        Of words.
    reads
        Reads in flight: at least what the memory holds, so that it never runs dry.

    Members
    -------
    users
        Two ports.
    memory
        Port of the memory.
    flush
        See above.
    """

    users: Any
    memory: Any
    flush: Signal

    def __init__(self, *, address_bits: int, reads: int) -> None:
        self._reads = reads
        port = word_port_signature(address_bits)
        super().__init__({"users": In(port).array(2), "memory": Out(port), "flush": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.owners = owners = Queue(shape=1, depth=self._reads)
        memory, users = self.memory, self.users
        last, held, holder = Signal(), Signal(), Signal()
        asks = [users[0].request.valid & ~self.flush, users[1].request.valid]
        chosen = Signal()
        # A request that was shown to the memory stays until it is taken, unless it is flushed.
        stays = held & Mux(holder, asks[1], asks[0])
        m.d.comb += chosen.eq(Mux(stays, holder, Mux(last, ~asks[0], asks[1])))
        payload = memory.request.payload
        with m.If(chosen):
            m.d.comb += payload.eq(users[1].request.payload)
        with m.Else():
            m.d.comb += payload.eq(users[0].request.payload)
        room = payload.write | owners.i.ready
        moves = memory.request.valid & memory.request.ready
        m.d.comb += [
            memory.request.valid.eq(Mux(chosen, asks[1], asks[0]) & room),
            users[0].request.ready.eq((~chosen & memory.request.ready & room) | self.flush),
            users[1].request.ready.eq(chosen & memory.request.ready & room),
            owners.i.valid.eq(moves & ~payload.write),
            owners.i.payload.eq(chosen),
        ]
        m.d.sync += [held.eq(memory.request.valid & ~memory.request.ready), holder.eq(chosen)]
        with m.If(moves):
            m.d.sync += last.eq(chosen)
        owner = owners.o.payload
        ready = Mux(owner, users[1].data.ready, users[0].data.ready | self.flush)
        both = owners.o.valid & memory.data.valid
        m.d.comb += [
            users[0].data.payload.eq(memory.data.payload),
            users[1].data.payload.eq(memory.data.payload),
            users[0].data.valid.eq(both & ~owner & ~self.flush),
            users[1].data.valid.eq(both & owner),
            memory.data.ready.eq(owners.o.valid & ready),
            owners.o.ready.eq(memory.data.valid & ready),
        ]
        return m
