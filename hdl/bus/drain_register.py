"""A stream register that can be emptied and closed."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["DrainRegister"]


class DrainRegister(wiring.Component):
    """``StreamRegister`` whose elements can be thrown away.

    Latency 1 cycle, one element a cycle, two elements held; ``i.ready``, ``o.valid`` and
    ``o.payload`` are registers, whatever ``clear`` and ``closed`` do.

    Parameters
    ----------
    shape
        Payload shape of both streams.

    Members
    -------
    i, o
        Streams in and out.
    clear
        From the next cycle on nothing is held, nor what was taken in this one.
    closed
        From the next cycle on nothing is taken.
    """

    i: stream.Interface
    o: stream.Interface
    clear: Signal
    closed: Signal

    def __init__(self, *, shape: ShapeLike) -> None:
        signature = stream.Signature(shape)
        self._shape = shape
        super().__init__({"i": In(signature), "o": Out(signature), "clear": In(1), "closed": In(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spare: Any = Signal(self._shape, reset_less=True)
        open_ = Signal(init=1)
        kept = Signal()  # ``spare`` is held
        moves = Signal()
        held = Signal()  # ``spare`` would be held in the next cycle
        m.d.comb += [
            self.i.ready.eq(open_),
            moves.eq(~self.o.valid | self.o.ready),
            held.eq((kept | (self.i.valid & open_)) & ~moves),
        ]
        m.d.sync += [kept.eq(held & ~self.clear), open_.eq((~held | self.clear) & ~self.closed)]
        with m.If(~kept):
            m.d.sync += spare.eq(self.i.payload)
        with m.If(moves):
            m.d.sync += [
                self.o.valid.eq(kept | (self.i.valid & open_)),
                self.o.payload.eq(Mux(kept, spare, self.i.payload)),
            ]
        with m.If(self.clear):
            m.d.sync += self.o.valid.eq(0)
        return m
