"""A typed first-in first-out queue between two streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Mux, Shape, ShapeLike, Signal, Value
from amaranth.lib import fifo, memory, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]

_SMALL = 4
"""Elements of a queue in registers, at most."""


class Queue(wiring.Component):
    """Queue of ``depth`` elements of any shape.

    Latency 2 cycles from ``i`` to ``o`` when empty (block memory) or 1 (``depth`` of 4 and below),
    one element a cycle in and out. Stream rules hold at both ends.

    Parameters
    ----------
    shape
        Payload shape of both streams.
    depth
        Number of elements, at least 1. The caller states why it is enough.

    Members
    -------
    i, o
        Streams in and out.
    level
        Number of elements held.
    """

    i: stream.Interface
    o: stream.Interface
    level: Signal

    LATENCY = 1
    BUFFERED_LATENCY = 2
    """Cycles from ``i`` to ``o`` of an empty queue: in registers, in block memory."""

    def __init__(self, *, shape: ShapeLike, depth: int) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, not {depth!r}")
        self._shape = shape
        self._depth = depth
        super().__init__(
            {
                "i": In(stream.Signature(shape)),
                "o": Out(stream.Signature(shape)),
                "level": Out(range(depth + 1)),
            }
        )

    @property
    def depth(self) -> int:
        """Number of elements the queue holds."""
        return self._depth

    def elaborate(self, platform: object) -> Module:
        m = Module()
        width = Shape.cast(self._shape).width
        if self._depth <= _SMALL:
            self._registers(m, width)
            return m
        inner: Any = fifo.SyncFIFOBuffered(width=width, depth=self._depth)
        m.submodules.fifo = inner
        m.d.comb += [
            inner.w_data.eq(self.i.payload),
            inner.w_en.eq(self.i.valid),
            self.i.ready.eq(inner.w_rdy),
            self.o.valid.eq(inner.r_rdy),
            inner.r_en.eq(self.o.ready),
            self.level.eq(inner.level),
            Value.cast(self.o.payload).eq(inner.r_data),
        ]
        return m

    def _registers(self, m: Module, width: int) -> None:
        """A small queue: its valid and its ready are registers."""
        depth = self._depth
        storage: memory.Memory = memory.Memory(shape=width, depth=depth, init=[])
        m.submodules.storage = storage
        write, read = storage.write_port(), storage.read_port(domain="comb")
        some, room = Signal(), Signal(init=1)
        push, pop = self.i.valid & room, self.o.ready & some
        m.d.comb += [
            self.i.ready.eq(room),
            self.o.valid.eq(some),
            write.en.eq(push),
            write.data.eq(self.i.payload),
            Value.cast(self.o.payload).eq(read.data),
        ]
        m.d.sync += [
            self.level.eq(self.level + push - pop),
            some.eq(push | (some & ~(pop & (self.level == 1)))),
            room.eq(pop | (room & ~(push & (self.level == depth - 1)))),
        ]
        for enable, port in ((push, write), (pop, read)):
            place = Signal.like(port.addr)
            m.d.comb += port.addr.eq(place)
            with m.If(enable):
                m.d.sync += place.eq(Mux(place == depth - 1, 0, place + 1))
