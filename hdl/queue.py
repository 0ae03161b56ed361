"""A typed first-in first-out queue between two streams."""

from __future__ import annotations

from typing import Any

from amaranth.hdl import Module, Shape, ShapeLike, Signal
from amaranth.lib import fifo, stream, wiring
from amaranth.lib.wiring import In, Out

__all__ = ["Queue"]


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
        kind: Any = fifo.SyncFIFO if self._depth <= 4 else fifo.SyncFIFOBuffered
        m.submodules.fifo = inner = kind(width=width, depth=self._depth)
        m.d.comb += [
            inner.w_data.eq(self.i.payload),
            inner.w_en.eq(self.i.valid),
            self.i.ready.eq(inner.w_rdy),
            self.o.valid.eq(inner.r_rdy),
            inner.r_en.eq(self.o.ready),
            self.level.eq(inner.level),
        ]
        payload = self.o.payload
        m.d.comb += (
            payload.eq(inner.r_data)
            if not hasattr(payload, "as_value")
            else payload.as_value().eq(inner.r_data)
        )
        return m
