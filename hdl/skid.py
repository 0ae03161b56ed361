"""Registers in a stream that cost no bandwidth, against long paths through several units."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, ShapeLike, Signal
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["ReadyRegister", "StreamRegister"]


class ReadyRegister(wiring.Component):
    """Cuts the way back: ``i.ready`` is a register, valid and payload pass through.

    One element is kept when ``o`` refuses it. Latency 0, one element a cycle; stream rules hold at
    both ends. ``i`` hears of a ready ``o`` a cycle late and has a place more instead.

    Parameters
    ----------
    shape
        Payload shape of both streams.

    Members
    -------
    i, o
        Streams in and out.
    kept
        An element is held.
    """

    CAPACITY = 1
    """Elements held."""

    i: stream.Interface
    o: stream.Interface
    kept: Signal

    def __init__(self, *, shape: ShapeLike) -> None:
        signature = stream.Signature(shape)
        self._shape = shape
        super().__init__({"i": In(signature), "o": Out(signature), "kept": Out(1)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        spare: Any = Signal(self._shape, reset_less=True)
        # Not ``kept``, which selects the whole payload: this one is for who is far away.
        free = Signal(init=1)
        m.d.comb += [
            self.i.ready.eq(free),
            self.o.valid.eq(self.i.valid | self.kept),
            self.o.payload.eq(self.i.payload),
        ]
        with m.If(self.kept):
            m.d.comb += self.o.payload.eq(spare)
            with m.If(self.o.ready):
                m.d.sync += [self.kept.eq(0), free.eq(1)]
        with m.Else():
            refused = self.i.valid & ~self.o.ready
            m.d.sync += [spare.eq(self.i.payload), self.kept.eq(refused), free.eq(~refused)]
        return m


class StreamRegister(wiring.Component):
    """Cuts all ways: valid, payload and ready are registers at both ends.

    Latency 1 cycle, one element a cycle; stream rules hold at both ends.

    Parameters
    ----------
    shape
        Payload shape of both streams.

    Members
    -------
    i, o
        Streams in and out.
    """

    CAPACITY = 2
    """Elements held."""
    LATENCY = 1

    i: stream.Interface
    o: stream.Interface

    def __init__(self, *, shape: ShapeLike) -> None:
        signature = stream.Signature(shape)
        self._shape = shape
        super().__init__({"i": In(signature), "o": Out(signature)})

    def elaborate(self, platform: object) -> Module:
        m = Module()
        m.submodules.ready = ready = ReadyRegister(shape=self._shape)
        wiring.connect(m, wiring.flipped(self.i), ready.i)
        m.d.comb += ready.o.ready.eq(~self.o.valid | self.o.ready)
        with m.If(ready.o.ready):
            m.d.sync += [self.o.valid.eq(ready.o.valid), self.o.payload.eq(ready.o.payload)]
        return m
