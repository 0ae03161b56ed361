"""Two readers on one read port."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ..config import Config
from ..interfaces import read_port_signature, read_request_layout, read_response_layout
from ..queue import Queue

__all__ = ["ReadShare"]


class ReadShare(wiring.Component):
    """Requests of ``first`` go before those of ``second``; a request that waits keeps its turn.

    The memory answers in the order of the requests (one tag of an ordered requester), so a list of
    owners tells whose beats come. Each reader must take its beats without waiting for the other's,
    and both ask for no more than ``bursts``. One request a cycle; latency 0 both ways.

    Parameters
    ----------
    config
        Device sizes.
    bursts
        Bursts that both readers together have on the way at most.

    Members
    -------
    first, second
        Requests of the readers.
    to_first, to_second
        Their beats.
    memory
        Read port.
    """

    first: stream.Interface
    second: stream.Interface
    to_first: stream.Interface
    to_second: stream.Interface
    memory: Any

    def __init__(self, *, config: Config, bursts: int) -> None:
        self._bursts = bursts
        request = stream.Signature(read_request_layout(config))
        response = stream.Signature(read_response_layout(config))
        super().__init__(
            {
                "first": In(request),
                "second": In(request),
                "to_first": Out(response),
                "to_second": Out(response),
                "memory": Out(read_port_signature(config)),
            }
        )

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.owners = owners = Queue(shape=1, depth=self._bursts)
        request, response = self.memory.request, self.memory.response
        first = Signal()  # whose turn it is
        waits = Signal()
        kept = Signal()
        mine = owners.o.payload
        m.d.comb += [
            first.eq(Mux(waits, kept, self.first.valid)),
            request.payload.eq(Mux(first, self.first.payload, self.second.payload)),
            request.valid.eq(self.first.valid | self.second.valid),
            self.first.ready.eq(request.ready & first),
            self.second.ready.eq(request.ready & ~first),
            owners.i.payload.eq(first),
            owners.i.valid.eq(request.valid & request.ready),
            self.to_first.payload.eq(response.payload),
            self.to_second.payload.eq(response.payload),
            self.to_first.valid.eq(response.valid & owners.o.valid & mine),
            self.to_second.valid.eq(response.valid & owners.o.valid & ~mine),
            response.ready.eq(
                owners.o.valid & Mux(mine, self.to_first.ready, self.to_second.ready)
            ),
            owners.o.ready.eq(response.valid & response.ready & response.payload.last),
        ]
        m.d.sync += [waits.eq(request.valid & ~request.ready), kept.eq(first)]
        return m
